"""How searches over 1 to 1,000 hosts would fare, from the times that were measured on one machine.

Each host has a shard of its own to begin with, and serves those of its neighbours as replicas. A
query asks every shard; its time is that of the last answer. Hosts work off what they are asked one
by one. Service times are drawn from those of `results/search.json`. See README.md for what this
leaves out.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import report
from numpy.typing import NDArray

_HOSTS = (1, 10, 100, 1000)
_REPLICATION = (1, 2, 3)
_UTILISATION = 0.3
"""Share of the time that a host works, hedges apart."""
_QUERIES, _SHARDS_ASKED = 4_000, 1_000_000
"""Of each case: queries, or fewer where they would ask more shards than that."""
_SLOW_SHARE, _SLOWER = 0.01, 3.0
"""One host in a hundred is this many times slower, at least one from ten hosts on. At more than
three times it could not work off its share without replicas, and no time would mean anything."""
_FEWEST_WITH_SLOW = 10
_HEDGE_QUANTILE = 0.95
_HEDGE_SHARE = 0.05
"""As actors/routing/hedge.py has both."""
_REMEMBERED = 1_000
_RECOUNT = 50


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated."""

    hosts: int
    replication: int
    hedged: bool
    slow: bool


class Service:
    """Draws service times from measured ones.

    Args:
        measured: Milliseconds in the host of a collection's only shard, as searches told it.
    """

    def __init__(self, measured: NDArray[np.float64]) -> None:
        self._measured = np.sort(measured)

    def draw(self, random: np.random.Generator, number: int) -> NDArray[np.float64]:
        """Return `number` times of one shard."""
        quantiles: NDArray[np.float64] = np.quantile(self._measured, random.random(number))
        return quantiles


class Cluster:
    """The hosts, each with the time at which it will have worked off what it was asked."""

    def __init__(self, case: Case, service: Service, random: np.random.Generator) -> None:
        self._case, self._service, self._random = case, service, random
        self._free_at = np.zeros(case.hosts)
        self._factor = np.ones(case.hosts)
        if case.slow:
            slow = max(1, round(case.hosts * _SLOW_SHARE))
            self._factor[random.permutation(case.hosts)[:slow]] = _SLOWER
        self._recent: list[float] = []
        self._patience = np.inf
        self._tokens = 0.0
        self._seen = 0
        self.calls = self.hedges = 0

    def candidates(self, shard: int) -> list[int]:
        """Return the hosts that serve a shard."""
        case = self._case
        return [(shard + n) % case.hosts for n in range(min(case.replication, case.hosts))]

    def ask(self, host: int, now: float, service: float) -> float:
        """Return when a host that is asked now will have answered."""
        start = max(now, self._free_at[host])
        self._free_at[host] = start + service * self._factor[host]
        return float(self._free_at[host])

    def ask_best(self, shard: int, now: float, service: float) -> tuple[int, float]:
        """Ask the one of two random candidates with less to do; return it, and when it answers."""
        two = self.candidates(shard)
        if len(two) > 2:  # noqa: PLR2004 - of two choices
            two = list(self._random.choice(two, 2, replace=False))
        host = min(two, key=lambda h: self._free_at[h])
        self.calls += 1
        self._tokens = min(self._tokens + _HEDGE_SHARE, float(self._case.hosts))
        return host, self.ask(host, now, service)

    def hedge(self, shard: int, asked: int, now: float) -> float:
        """Ask another candidate; return when it answers, or infinity where none may be asked."""
        others = [host for host in self.candidates(shard) if host != asked]
        if not others or self._tokens < 1:
            return np.inf
        self._tokens -= 1
        self.hedges += 1
        best = min(others, key=lambda h: self._free_at[h])
        return self.ask(best, now, float(self._service.draw(self._random, 1)[0]))

    def patience(self) -> float:
        """Return the milliseconds after which a shard is asked again."""
        return self._patience if self._case.hedged else np.inf

    def saw(self, ms: float) -> None:
        """Count an answer into the running quantile."""
        self._seen += 1
        self._recent.append(ms)
        if self._seen % _RECOUNT == 0:
            del self._recent[:-_REMEMBERED]
            self._patience = float(np.quantile(self._recent, _HEDGE_QUANTILE))


def main() -> None:
    """Simulate and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--measured", type=Path, default=report.RESULTS / "search.json")
    parse.add_argument("--out", type=Path, default=report.RESULTS / "simulate.json")
    given = parse.parse_args()
    measured = json.loads(given.measured.read_text(encoding="utf-8"))
    times = np.array(measured["shoal_slowest_host_ms"])
    service = Service(times)
    report.write(
        given.out,
        {
            "measured": {"file": given.measured.name, "slowest_host_ms": report.summary(times)},
            "utilisation": _UTILISATION,
            "slow": {"share": _SLOW_SHARE, "times_slower": _SLOWER},
            "cases": [_figures(case, service) for case in _cases()],
        },
    )


def _cases() -> Iterator[Case]:
    for slow, hosts, replication in product((False, True), _HOSTS, _REPLICATION):
        if replication > hosts or (slow and hosts < _FEWEST_WITH_SLOW):
            continue
        yield Case(hosts, replication, False, slow)
        if replication > 1:
            yield Case(hosts, replication, True, slow)


def _figures(case: Case, service: Service) -> dict[str, Any]:
    ms, cluster = simulate(case, service)
    return {
        "hosts": case.hosts,
        "replication": case.replication,
        "hedged": case.hedged,
        "slow_hosts": case.slow,
        "ms": report.summary(ms),
        "hedge_share": round(cluster.hedges / max(cluster.calls, 1), 4),
    }


def simulate(case: Case, service: Service) -> tuple[NDArray[np.float64], Cluster]:
    """Return the milliseconds of each query, after a tenth of them to warm up, and the cluster."""
    queries = min(_QUERIES, _SHARDS_ASKED // case.hosts)
    random = np.random.default_rng(case.hosts * 10 + case.replication)
    cluster = Cluster(case, service, random)
    gap = service.draw(random, 10_000).mean() / _UTILISATION
    arrivals = np.cumsum(random.exponential(gap, queries))
    ends = np.zeros((queries, case.hosts))
    later: list[tuple[float, int, int, int]] = []
    for query, now in enumerate(arrivals):
        _hedge_until(now, later, cluster, ends)
        for shard, time in enumerate(service.draw(random, case.hosts)):
            host, end = cluster.ask_best(shard, now, time)
            ends[query, shard] = end
            cluster.saw(end - now)
            if end - now > cluster.patience():
                heapq.heappush(later, (now + cluster.patience(), query, shard, host))
    _hedge_until(np.inf, later, cluster, ends)
    ms: NDArray[np.float64] = ends.max(axis=1) - arrivals
    return ms[queries // 10 :], cluster


def _hedge_until(
    now: float,
    later: list[tuple[float, int, int, int]],
    cluster: Cluster,
    ends: NDArray[np.float64],
) -> None:
    """Send the hedges that are due before `now`, in the order of time."""
    while later and later[0][0] <= now:
        at, query, shard, host = heapq.heappop(later)
        ends[query, shard] = min(ends[query, shard], cluster.hedge(shard, host, at))


if __name__ == "__main__":
    main()
