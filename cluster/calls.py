"""The gateway's calls to the actors of its cluster, made again while an actor restarts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from actors.asking import first_answer
from actors.errors import GatewayUnavailable, ReplicaLost, ShoalError
from actors.layout import Layout
from actors.messages import ActorStatus, JobState, JobStatus, Pool, Scale, Topology
from actors.scaling import router_names
from cluster import report
from cluster.freshness import Behind
from cluster.protocol import Replica
from cluster.routers import Routers
from cluster.session import STEWARD

_log = logging.getLogger("shoal.calls")
_T = TypeVar("_T")

_PATIENCE_S = 30.0
"""For calls without a deadline of their own: an actor that died is back in a few seconds."""
_GRACE_S = 2.0
"""What a call may take over its deadline before the gateway stops waiting for it."""
_LOADING_S = 0.2
"""For the steward to say who loads; without that, those who do are waited for."""
_FRESH_S = 1.0
"""How long the routers are taken for those that there are. One that is taken out lives longer."""
_SCALE_S = 120.0
"""Actors start side by side, within 40 s, and open shards within 15 s more."""
STATUS_S = 2.0
"""For what tells how the cluster is, and must not wait for what is away."""


class Calls:
    """Asks actors by name, and the steward for what it owns.

    Attributes:
        behind: How far collections are behind their sources.
    """

    def __init__(self) -> None:
        self.behind = Behind()
        self._steward: Any = None
        self._pools: tuple[Pool, ...] = ()
        self._scale: Scale
        self._topology = Topology((), 0)
        self._routers = Routers((), random.Random())  # noqa: S311 - no secret
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = 0.0

    @property
    def routers(self) -> int:
        """How many routers there are."""
        return self._scale.routers

    async def attached(self, steward: Any) -> None:  # noqa: ANN401 - an untyped Ray handle
        """Take the steward's handle, and ask it what there is."""
        self._steward = steward
        self._take(await self.ask(STEWARD, lambda it: it.scaled.remote()))

    async def ask(
        self, name: str, call: Callable[[Any], Awaitable[Any]], within_s: float = _PATIENCE_S
    ) -> Any:  # noqa: ANN401 - whatever the remote method returns
        """Call an actor, again where it is being restarted.

        Raises:
            GatewayUnavailable: It did not answer in time.
        """
        give_up = time.monotonic() + within_s + _GRACE_S
        try:
            return await first_answer((name,), call, lambda: give_up - time.monotonic())
        except TimeoutError as error:
            raise _no_answer(name, within_s) from error

    async def ask_router(
        self, call: Callable[[Any], Awaitable[Any]], within_s: float, requests: int = 1
    ) -> Any:  # noqa: ANN401 - whatever the remote method returns
        """Call one of the routers with so many requests; see `Routers.ask`.

        Raises:
            GatewayUnavailable: None answered in time.
        """
        if time.monotonic() - self._looked_at > _FRESH_S and (
            self._looking is None or self._looking.done()
        ):
            self._looking = asyncio.create_task(self._look())  # nobody waits for it
        try:
            return await self._routers.ask(call, within_s + _GRACE_S, requests)
        except TimeoutError as error:
            raise _no_answer("the routers", within_s) from error

    async def _look(self) -> None:
        looks = self.scaled(), self.look_behind(), self._routers.look_for_silent()
        await asyncio.gather(*looks)

    async def look_behind(self) -> None:
        """Learn how far collections are behind, unless the steward is away."""
        behind = await self.told(lambda steward: steward.behind.remote(), STATUS_S, None)
        if behind is not None:
            self.behind.take(behind)

    async def watching(self, collection: str, watcher: str, behind_s: float | None) -> None:
        """Pass a watcher's word on to the steward, for all gateways; None where it has ended."""
        await self.ask(
            STEWARD, lambda steward: steward.watching.remote(collection, watcher, behind_s)
        )
        await self.look_behind()

    async def scaled(self) -> Scale:
        """Return how many actors of each kind there are, or were when the steward last said so."""
        scale = await self.told(lambda steward: steward.scaled.remote(), STATUS_S, None)
        if scale is not None:
            self._take(scale)
        return self._scale

    async def scale(self, wanted: dict[str, int]) -> Scale:
        """Have so many actors of each kind; returns how many there are then."""
        self._take(
            await self.ask(STEWARD, lambda steward: steward.scale.remote(**wanted), _SCALE_S)
        )
        return self._scale

    async def hosts(self) -> tuple[str, ...]:
        """Return the actor names of the hosts, or of those that there were."""
        told = self.told(lambda steward: steward.topology.remote(), STATUS_S, self._topology)
        self._topology = await told
        return self._topology.hosts

    async def layout(self) -> Layout:
        """Return who is to run where."""
        layout: Layout = await self.ask(STEWARD, lambda steward: steward.layout.remote())
        return layout

    def _take(self, scale: Scale) -> None:
        self._scale = scale
        self._routers.become(router_names(scale))
        self._looked_at = time.monotonic()

    async def pool(self, model: str, fingerprint: str) -> Pool:
        """Return a model's pool, made where there is none."""
        pool: Pool = await self.ask(STEWARD, lambda it: it.pool.remote(model, fingerprint))
        return pool

    async def pools(self) -> tuple[Pool, ...]:
        """Return the pools, or those that were there where the steward is away."""
        asked = self.told(lambda steward: steward.pools.remote(), STATUS_S, self._pools)
        self._pools = await asked
        return self._pools

    async def replicas(self, names: Iterable[str]) -> tuple[Replica, ...]:
        """Return how each of the named actors is, those too that a load keeps from answering."""
        loading: tuple[ActorStatus, ...] = await self.told(
            lambda steward: steward.loading.remote(), _LOADING_S, ()
        )
        return await report.replicas(names, loading)

    async def told(
        self, call: Callable[[Any], Awaitable[Any]], within_s: float, otherwise: _T
    ) -> Any | _T:  # noqa: ANN401 - whatever the remote method returns
        """Return what the steward says; where it is away or slow, something else."""
        with contextlib.suppress(TimeoutError, GatewayUnavailable, ReplicaLost):
            return await asyncio.wait_for(self.ask(STEWARD, call), within_s)
        return otherwise

    async def published(self) -> None:
        """Let searches see at once what is there now; they would find out within a second."""
        try:
            await self.ask(STEWARD, lambda steward: steward.published.remote())
        except ShoalError as error:
            _log.warning("a publication was not announced: %s", error)

    async def job(self, job_id: str) -> JobStatus:
        """Return how far a job is; NotFound where it is unknown."""
        found: JobStatus = await self.ask(STEWARD, lambda steward: steward.job.remote(job_id))
        return found

    def report(self, status: JobStatus) -> None:
        """Let the steward know of a job; the next report comes soon, so none is waited for."""
        self._steward.report.remote(status)

    async def heard(self, status: JobStatus) -> JobState:
        """Let the steward know that a job runs, and return the job's state as the steward has it.

        A job may be cancelled through another gateway.
        """
        reported = self.told(lambda steward: steward.report.remote(status), STATUS_S, status.state)
        return JobState(await reported)

    async def may_publish(self, job_id: str) -> bool:
        """Ask whether a job may publish; without an answer it may, so that no work is lost."""
        allowed = self.told(lambda steward: steward.may_publish.remote(job_id), _PATIENCE_S, True)
        return bool(await allowed)

    async def cancel(self, job_id: str) -> JobStatus:
        """Cancel a job that runs elsewhere, or nowhere; NotFound where it is unknown."""
        job: JobStatus = await self.ask(STEWARD, lambda steward: steward.cancel.remote(job_id))
        return job

    async def report_end(self, status: JobStatus) -> None:
        """Let the steward know of a job that ended."""
        with contextlib.suppress(ShoalError):
            await self.ask(STEWARD, lambda steward: steward.report.remote(status))


def _no_answer(who: str, within_s: float) -> GatewayUnavailable:
    message = f"{who} did not answer within {within_s:g} s; `shoal status` shows how it is"
    return GatewayUnavailable(message, retry_after_s=_GRACE_S)
