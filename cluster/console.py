"""What the command line shows: answers on stdout, progress and errors on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from cluster.protocol import Collection, Job, SearchHit, SearchReply, Status
from cluster.visible import one_line, visible

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_SNIPPET_LINES = 8
_MB = 1e6


@contextmanager
def phases() -> Iterator[Callable[[str], None]]:
    """Show what a gateway that starts is doing."""
    if not err.is_terminal:
        yield lambda _phase: None
        return
    with err.status("looking for the gateway") as shown:
        yield lambda phase: shown.update(escape(phase))


@contextmanager
def job_progress() -> Iterator[Callable[[Job], None]]:
    """Show how far a job is."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[chunks]} chunks"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("waiting", total=None, chunks=0)

        def show(job: Job) -> None:
            progress.update(
                bar,
                description=escape(job.phase),
                completed=job.files_done,
                total=job.files_total or None,
                chunks=job.chunks,
            )

        yield show


def show_answer(answer: SearchReply, limit_lines: bool) -> None:
    """Print hits, and what an answer lacks."""
    several = len(answer.collections) > 1
    for hit in answer.hits:
        _show_hit(hit, several, limit_lines)
    if not answer.hits:
        err.print("nothing found")
    for part in answer.collections:
        if part.problem:
            err.print(f"{part.name}: {part.coverage:.0%} searched: {part.problem}", markup=False)


def show_job(job: Job, memory_bytes: int, processes: int) -> None:
    """Print what an indexing job did and what it cost."""
    out.print(
        f"{job.collection}: generation {job.generation}, {job.files_total} files found "
        f"({job.files_changed} new or changed, {job.files_unchanged} unchanged, "
        f"{job.files_removed} removed), "
        f"{job.chunks} chunks written in {job.seconds:.1f} s; "
        f"{memory_bytes / _MB:.0f} MB in {processes} processes",
        markup=False,
    )
    if job.skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(job.skipped.items()))
        out.print(f"skipped: {reasons}", markup=False)


def show_collections(collections: tuple[Collection, ...]) -> None:
    """Print a line for each collection."""
    table = Table("collection", "generation", "chunks", "shards", "segments", "source", box=None)
    for c in collections:
        numbers = (c.generation, c.chunks, c.shards, c.segments)
        table.add_row(Text(c.name), *map(str, numbers), Text(c.problem or c.source or "handed in"))
    out.print(table if collections else "no collections yet; index a folder, as in `shoal index .`")


def show_status(status: Status) -> None:
    """Print how the cluster is."""
    up = timedelta(seconds=int(status.uptime_s))
    out.print(
        f"shoal {status.version}: gateway {status.gateway_pid}, up {up}, {status.nodes} node(s), "
        f"{status.memory_bytes / _MB:.0f} MB in {status.processes} processes\n"
        f"root {status.root}\nmodel {status.model}\n",
        markup=False,
    )
    table = Table("actor", "kind", "pid", "MB", "", box=None)
    for r in status.replicas:
        detail = r.problem or ", ".join(f"{k} {v}" for k, v in r.detail.items())
        table.add_row(r.name, r.kind, str(r.pid), f"{r.rss_bytes / _MB:.0f}", Text(detail))
    out.print(table, "")
    show_collections(status.collections)
    for job in status.jobs:
        done = f"{job.phase} {job.files_done}/{job.files_total} {job.error}"
        out.print(f"job {job.id} ({job.collection}): {job.state}, {done}", markup=False)


def _show_hit(hit: SearchHit, several: bool, limit_lines: bool) -> None:
    place = Text()
    if several:
        place.append(f"{hit.collection}: ", "dim")
    place.append(f"{one_line(hit.path)}:{hit.start_line}-{hit.end_line}", "bold cyan")
    place.append(f"  {one_line(hit.symbol)}" if hit.symbol else "", "green")
    place.append(f"  {hit.score:.4f}", "dim")
    out.print(place)
    lines = visible(hit.text).split("\n")
    shown = lines[:_SNIPPET_LINES] if limit_lines else lines
    for line in shown:
        out.print(Text(f"    {line}"))
    if len(shown) < len(lines):
        out.print(Text(f"    … {len(lines) - len(shown)} more lines", "dim"))
    out.print()
