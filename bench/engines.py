"""What each engine costs in an Embedder: cold start, memory through its life, status under load.

Every start is that of a new actor, in a process that holds no model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling; as the gateway has it

import ray
from chunks import WORD_PIECES, chunks, shared_model
from ray.actor import ActorHandle
from report import MB, RESULTS, median, summary, write
from sides import timed, tree_mb

from actors.embedder import Embedder, EmbedderConfig
from actors.engines.registry import BUILTIN, describe
from actors.fleet import FleetPlan
from actors.messages import Scale
from actors.pool_plan import PoolPlan
from actors.process import MemoryConfig, end_actor, find_or_make
from actors.steward import Steward, StewardConfig
from cluster.calls import Calls
from cluster.session import STEWARD

_THREADS = 2
_MEMORY = MemoryConfig(1 << 30, 0.8, 0.95, "auto", 80 << 20)
_KEEP_ALIVE_S = 3.0
"""Long enough to read the memory of a loaded model."""
_GIVE_UP_S = 60.0
_STATUS_EVERY_S = 0.005
_VOCABULARY = 250_000
"""Entries, as multilingual models have."""


def main() -> None:
    """Start each engine again and again, and follow one of its lives to the unload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS / "engines.json")
    arguments = parser.parse_args()
    folder = shared_model("all-MiniLM-L6-v2-onnx")
    texts = chunks(folder / "tokenizer.json", arguments.texts)
    ray.init(include_dashboard=False, log_to_driver=False, object_store_memory=80 << 20)
    with tempfile.TemporaryDirectory() as large, tempfile.TemporaryDirectory() as root:
        _make_steward(root)
        models = {
            "static, built in": BUILTIN,
            "ONNX int8": f"onnx:{folder}",
            "GGUF Q8_0": f"gguf:{shared_model('all-MiniLM-L6-v2.Q8_0.gguf')}",
            "ONNX int8, large tokenizer": f"onnx:{_with_large_tokenizer(folder, Path(large))}",
        }
        engines = {
            name: asyncio.run(_measured(model, texts, arguments.starts))
            for name, model in models.items()
        }
    ray.shutdown()
    facts = {"threads": _THREADS, "texts": len(texts), "word_pieces": WORD_PIECES}
    write(arguments.out, facts | {"engines": engines})
    _print(engines)


async def _measured(model: str, texts: Sequence[str], starts: int) -> dict[str, Any]:
    lives = [await _start(model, number) for number in range(starts)]
    pings = [await _start(model, starts + number, ping=True) for number in range(starts)]
    return {
        "start_s": {key: median([life[key] for life in lives]) for key in lives[0]},
        "starts": lives,
        "pss_mb": await _memory(model, texts),
        "status_ms_while_loading": _spread([ms for life in pings for ms in life["status_ms"]]),
    }


async def _start(model: str, number: int, ping: bool = False) -> dict[str, Any]:
    """Make an actor and ask it for a vector; return seconds, or how its status came meanwhile."""
    name = f"start-{number}"
    weights = str(describe(model).fingerprint)
    started = time.perf_counter()
    actor = _actor(name, model, weights)
    await actor.status.remote()
    ready_s = timed(started)
    asked = time.perf_counter()
    first = asyncio.ensure_future(_first_vector(actor))
    status_ms = await _status_ms(name, first) if ping else []
    await first
    seconds = {
        "actor_s": ready_s,
        "first_vector_s": timed(asked),
        "in_all_s": timed(started),
        "load_s": (await actor.status.remote()).detail["load_s"],
    }
    await asyncio.to_thread(end_actor, name)
    return {"status_ms": status_ms} if ping else seconds


async def _status_ms(name: str, first: asyncio.Future[None]) -> list[float]:
    """Ask for the status at a fixed rate, whether or not it answers, until the first vector."""
    asked: deque[asyncio.Task[float]] = deque()
    calls = Calls()  # as the gateway asks
    while not first.done():
        asked.append(asyncio.create_task(_one_status_ms(calls, name)))
        await asyncio.sleep(_STATUS_EVERY_S)
    return await asyncio.gather(*asked)


async def _one_status_ms(calls: Calls, name: str) -> float:
    started = time.perf_counter()
    (replica,) = await calls.replicas([name])
    if replica.problem:
        raise RuntimeError(replica.problem)
    return (time.perf_counter() - started) * 1e3


async def _memory(model: str, texts: Sequence[str]) -> dict[str, float]:
    """Follow one actor: idle, loaded, after texts, after the unload."""
    actor = _actor("memory", model, str(describe(model).fingerprint))
    pid = (await actor.status.remote()).pid
    idle = tree_mb(pid)
    await _first_vector(actor)
    loaded = tree_mb(pid)
    await actor.embed.remote(texts, "document")
    worked = tree_mb(pid)
    await asyncio.wait_for(_until_unloaded(actor), _GIVE_UP_S)
    unloaded = tree_mb(pid)
    await asyncio.to_thread(end_actor, "memory")
    return {
        "idle": idle,
        "loaded": loaded,
        "worked": worked,
        "unloaded": unloaded,
        "unloaded_over_idle": round(unloaded / idle, 3),
        "estimated_before_load": round(describe(model).footprint.total / MB, 1),
    }


async def _until_unloaded(actor: ActorHandle[Any]) -> None:
    while (await actor.status.remote()).detail["state"] != "unloaded":  # noqa: ASYNC110
        await asyncio.sleep(_STATUS_EVERY_S)


async def _first_vector(actor: ActorHandle[Any]) -> None:
    await actor.embed.remote(["where are retries limited?"], "query")


def _actor(name: str, model: str, weights: str) -> ActorHandle[Any]:
    config = EmbedderConfig(name, model, weights, _KEEP_ALIVE_S, _THREADS, _MEMORY, STEWARD)
    made: ActorHandle[Any] = find_or_make(Embedder, config)
    return made


def _make_steward(root: str) -> None:
    plan = PoolPlan(BUILTIN, _KEEP_ALIVE_S, _THREADS, _MEMORY, False, True)
    fleet = FleetPlan(root, _MEMORY, _MEMORY)
    alone = Scale(embedders=1, hosts=0, replication=1, routers=0)
    find_or_make(Steward, StewardConfig(STEWARD, root, plan, fleet, alone, "scale.json", _MEMORY))


def _with_large_tokenizer(folder: Path, to: Path) -> Path:
    """Copy a model and add words that no text has: what a load of them costs, and nothing else."""
    shutil.copytree(folder, to, dirs_exist_ok=True, copy_function=shutil.copyfile)
    file = to / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary |= {f"##{number:x}never": number for number in range(len(vocabulary), _VOCABULARY)}
    file.write_text(json.dumps(content), encoding="utf-8")
    return to


def _spread(ms: Sequence[float]) -> dict[str, float]:
    return {**summary(ms), "max": round(max(ms), 3)}


def _print(engines: dict[str, Any]) -> None:
    """Print the table of README."""
    print(
        "| | actor s | first vector s | PSS: idle, loaded, at work, unloaded MB | status p99 ms |"
    )
    print("|---|---|---|---|---|")
    for name, found in engines.items():
        start, pss = found["start_s"], found["pss_mb"]
        memory = ", ".join(f"{pss[when]:.0f}" for when in ("idle", "loaded", "worked", "unloaded"))
        seconds = f"{start['actor_s']:.2f} | {start['first_vector_s']:.2f}"
        p99 = found["status_ms_while_loading"]["p99"]
        print(f"| {name} | {seconds} | {memory} | {p99:.0f} |")


if __name__ == "__main__":
    main()
