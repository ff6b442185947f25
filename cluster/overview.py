"""How the cluster is, for a person at a terminal: what is wrong first, then who does what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.protocol import Replica, Scale, Status

_MB = 1e6
_STAGES = ("queue", "plan", "embed", "shards", "slowest_host", "merge", "router")
"""In the order of a search; the slowest host is a part of "shards", and "router" is all of it."""
_TIERS = ("exact", "resident", "paged")
_COMMON = ("pid", "MB", "of", "pressure")
_Column = tuple[str, Callable[[Replica], object]]


def show_actors(status: Status, out: Console) -> None:
    """Print what is wrong, and a table for each kind of actor."""
    found = list(_problems(status))
    if found:
        out.print(Text("problems", "bold red"))
    for who, what in found:
        out.print(Text(f"  {who}: {what}", "red"))
    if found:
        out.print()
    by_kind = {kind: [r for r in status.replicas if r.kind == kind] for kind in _TABLES}
    for kind, (title, columns) in _TABLES.items():
        if by_kind[kind]:
            out.print(_table(title, (*columns, *_where(status)), by_kind[kind]))
        if kind == "Router":
            _show_stages(by_kind[kind], out)


def heading(status: Status) -> str:
    """Return what holds for all of it: version, root, model, scale, memory, logs."""
    up = timedelta(seconds=int(status.uptime_s))
    where = f"\nlogs {status.logs}/gateway.log, logs/<actor>.log beside it" if status.logs else ""
    return (
        f"shoal {status.version}: gateway {status.gateway_pid}, up {up}, {status.nodes} node(s), "
        f"{status.memory_bytes / _MB:.0f} MB in {status.processes} processes\n"
        f"root {status.root}\nmodel {status.model}\n{scale_line(status.scale)}\n"
        f"memory {status.memory_plan} "
        f"Held by {_enforcement(status)}.{where}\n"
    )


def scale_line(scale: Scale) -> str:
    """Return in words how many actors of each kind there are."""
    return (
        f"scale routers {scale.routers}, hosts {scale.hosts} (replication {scale.replication}), "
        f"embedders {scale.embedders} of each model"
    )


def _problems(status: Status) -> Iterator[tuple[str, str]]:
    """Find what a person should look at: who is away or short of memory, what cannot be read."""
    if status.nodes == 0:
        yield "cluster", "its head does not answer"
    for r in status.replicas:
        if r.problem:
            yield r.name, r.problem
        elif r.pressure != "ok":
            held = f"{r.pss_bytes / _MB:.0f} of {r.limit_bytes / _MB:.0f} MB"
            yield r.name, f"memory pressure is {r.pressure} ({held})"
        if r.kills:
            yield (
                r.name,
                f"ended {r.kills} times at its memory limit of {r.limit_bytes / _MB:.0f} MB",
            )
        if r.refusals:
            yield r.name, f"refused work {r.refusals} times for want of memory"
        if r.detail.get("root_problem"):
            yield r.name, r.detail["root_problem"]
        if r.detail.get("state") == "failed":
            yield r.name, f"cannot load {r.detail['model']}; its log says why"
    yield from ((f"collection {c.name}", c.problem) for c in status.collections if c.problem)


def _table(title: str, columns: Sequence[_Column], replicas: Sequence[Replica]) -> Table:
    table = Table(title, box=None, title_justify="left", pad_edge=False)
    for name in (*_COMMON, *(name for name, _ in columns)):
        table.add_column(name, justify="left" if name in ("pressure", "model", "") else "right")
    for r in replicas:
        memory = (f"{r.pss_bytes / _MB:.0f}", f"{r.limit_bytes / _MB:.0f}", r.pressure)
        own = (Text(str(value(r))) for _, value in columns)
        table.add_row(Text(r.name), str(r.pid), *memory, *own)
    return table


def _show_stages(routers: Sequence[Replica], out: Console) -> None:
    """Print where the time of the last searches went, by router."""
    for router in routers:
        stages = [s for s in _STAGES if f"{s}_count" in router.detail]
        if not stages:
            continue
        table = Table(f"  {router.name}, ms of the last 512", box=None, pad_edge=False)
        for stage in stages:
            table.add_column(stage, justify="right")
        for percent in ("p50", "p99"):
            took = (router.detail.get(f"{stage}_{percent}_ms", 0) for stage in stages)
            table.add_row(f"  {percent}", *(f"{ms:.1f}" for ms in took))
        out.print(table)


def _of(key: str) -> Callable[[Replica], object]:
    return lambda r: r.detail.get(key, 0)


def _where(status: Status) -> tuple[_Column, ...]:
    """Return the column of nodes, where there are several."""
    return (("node", lambda r: r.node[:8]),) if status.nodes > 1 else ()


def _restarts(r: Replica) -> object:
    return r.restarts


def _answers(r: Replica) -> object:
    return r.detail.get("complete_answers", 0) + r.detail.get("partial_answers", 0)


def _hedges(r: Replica) -> object:
    return f"{r.detail.get('hedges', 0)} ({r.detail.get('hedge_wins', 0)})"


def _cached(r: Replica) -> object:
    """Return the share of queries whose vector was at hand."""
    hits, misses = r.detail.get("cached_vectors", 0), r.detail.get("missed_vectors", 0)
    return f"{hits / (hits + misses):.0%}" if hits + misses else "-"


def _tiers(r: Replica) -> object:
    return " / ".join(str(r.detail.get(f"{tier}_segments", 0)) for tier in _TIERS)


def _state(r: Replica) -> object:
    detail = r.detail
    loading = f" {detail['phase']} {detail['fraction']:.0%}" if detail.get("phase") else ""
    return f"{detail.get('state', '')}{loading}"


def _model(r: Replica) -> object:
    return r.detail.get("model", "")


def _rest(r: Replica) -> object:
    return ", ".join(f"{name} {value}" for name, value in r.detail.items() if value != "")


_TABLES: dict[str, tuple[str, tuple[_Column, ...]]] = {
    "Router": (
        "routers",
        (
            ("in flight", _of("at_work")),
            ("waiting", _of("waiting")),
            ("sent away", _of("overloaded")),
            ("answers", _answers),
            ("partial", _of("partial_answers")),
            ("failed", _of("failed_searches")),
            ("hedges (won)", _hedges),
            ("retries", _of("retries")),
            ("vectors at hand", _cached),
            ("restarts", _restarts),
        ),
    ),
    "ShardHost": (
        "hosts",
        (
            ("segments", _of("segments")),
            ("exact / resident / paged", _tiers),
            ("chunks", _of("chunks")),
            ("opened", _of("opens")),
            ("closed", _of("closes")),
            ("restarts", _restarts),
        ),
    ),
    "Embedder": (
        "embedders",
        (
            ("state", _state),
            ("texts", _of("texts")),
            ("loads", _of("loads")),
            ("last load s", _of("load_s")),
            ("restarts", _restarts),
            ("model", _model),
        ),
    ),
    "Steward": ("steward", (("restarts", _restarts), ("", _rest))),
}


def _enforcement(status: Status) -> str:
    kinds = dict.fromkeys(r.enforcement for r in status.replicas if r.enforcement)
    return "; ".join(kinds) or "nothing that answers"
