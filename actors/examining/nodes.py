"""Every node of a cluster examined from a task on it, by the process that drives the cluster."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.asking import unwrapped
from actors.errors import ShoalError
from actors.examining.machine import look_at_this_machine
from actors.examining.reports import Examined, NodeReport
from actors.examining.storing import PROBES, QUICKLY, forget_old_probes, try_storage
from actors.storage import Storage

_ANSWER_S = 60.0
"""For a node to start a process, and for storage that is slow to say that it fails."""
_PAYLOAD_BYTES = 1 << 20
"""Enough that Ray keeps it on its node and sends it from there by another port than answers."""


async def examine(root: str, nodes: Mapping[str, str]) -> list[Examined]:
    """Examine nodes side by side; one that does not answer within a minute is told as such.

    Args:
        root: The storage root; every node is to see what this machine writes there.
        nodes: Node id → address.
    """
    await asyncio.to_thread(forget_old_probes, root)
    name, expected = secrets.token_hex(8), secrets.token_hex(16)
    try:
        await asyncio.to_thread(_write, root, name, expected)
    except ShoalError:
        expected = ""  # each of them says for itself what is wrong with the root
    try:
        calls = (_examined(n, address, (root, expected, name)) for n, address in nodes.items())
        return await asyncio.gather(*calls)
    finally:
        if expected:
            await asyncio.to_thread(_remove, root, name)


async def _examined(node: str, address: str, what: tuple[str, str, str]) -> Examined:
    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    answer, payload = _report.options(scheduling_strategy=strategy).remote(*what)
    try:
        report: NodeReport = await asyncio.wait_for(unwrapped(answer), _ANSWER_S)
    except TimeoutError:
        ray.cancel(answer)
        return Examined(address, problem=f"it did not answer within {_ANSWER_S:.0f} s")
    except RayError as error:
        return Examined(address, problem=str(error).strip().splitlines()[0][:300])
    ahead_s = report.told_at - time.time()
    return Examined(address, report, "", ahead_s, await _fetch_s(payload))


async def _fetch_s(payload: Any) -> float | None:  # noqa: ANN401 - a Ray reference
    started = time.perf_counter()
    try:
        await asyncio.wait_for(unwrapped(payload), _ANSWER_S)
    except (TimeoutError, RayError):
        return None
    return time.perf_counter() - started


def _write(root: str, name: str, content: str) -> None:
    Storage(root, QUICKLY).put(f"{PROBES}/{name}", content.encode())


def _remove(root: str, name: str) -> None:
    with suppress(ShoalError):  # the next examination does it
        Storage(root).remove(f"{PROBES}/{name}")


def _reported(root: str, expected: str, name: str) -> tuple[NodeReport, bytes]:
    machine, storage = look_at_this_machine(root), try_storage(root, expected, name)
    return NodeReport(machine, storage, time.time()), os.urandom(_PAYLOAD_BYTES)


_report = ray.remote(num_cpus=0, num_returns=2, max_retries=0)(_reported)
