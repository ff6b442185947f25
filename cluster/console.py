"""What the command line shows: answers on stdout, progress and errors on stderr."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from actors.errors import ShoalError
from cluster.explaining import explained
from cluster.freshness import in_words
from cluster.job_overview import job_lines, jobs_table, pace, set_aside
from cluster.lookup_protocol import Passage, Symbol, SymbolsReply
from cluster.overview import heading, show_actors
from cluster.protocol import (
    Collection,
    CollectionCoverage,
    Generation,
    Job,
    LoadedModel,
    Model,
    SearchHit,
    SearchReply,
    Status,
    Verification,
)
from cluster.visible import one_line, visible

if TYPE_CHECKING:
    from actors.engines.quantize import QuantizeReport
    from cluster.client import ShoalClient

_PIPED_COLUMNS = 300
"""For a program that reads our tables: no name is broken in two."""

out = Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_COLUMNS
)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_SNIPPET_LINES = 8
_LOOK_S = 0.5
_JOBS_LISTED = 40
_MB = 1e6


@contextmanager
def phases() -> Iterator[Callable[[str], None]]:
    """Show what something that takes seconds is doing."""
    if not err.is_terminal:
        yield lambda _phase: None
        return
    with err.status("…") as shown:
        yield lambda phase: shown.update(escape(phase))


@contextmanager
def job_progress() -> Iterator[Callable[[Job], None]]:
    """Show how far a job is."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[chunks]} chunks{task.fields[pace]}"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("waiting", total=None, chunks=0, pace="")

        def show(job: Job) -> None:
            progress.update(
                bar,
                description=escape(job.phase),
                completed=job.files_done,
                total=job.files_total or None,
                chunks=job.chunks,
                pace=f", {pace(job)}" if job.rate else "",
            )

        yield show


def show_jobs(jobs: tuple[Job, ...]) -> None:
    """Print a line for each of the first jobs, and how many more there are."""
    if not jobs:
        out.print("no jobs yet; `shoal index FOLDER` starts one")
        return
    out.print(jobs_table(jobs[:_JOBS_LISTED], time.time()))
    if len(jobs) > _JOBS_LISTED:
        out.print(f"and {len(jobs) - _JOBS_LISTED} older ones; --json has all")


def show_job_in_full(job: Job) -> None:
    """Print all that is known of a job, its errors file by file."""
    for line in job_lines(job, time.time()):
        out.print(line, markup=False)


@contextmanager
def model_loads(connect: Callable[[], ShoalClient]) -> Iterator[None]:
    """Show how far models load while the block lasts; quick blocks show nothing.

    Args:
        connect: Returns a client of its own, because the block uses the other.
    """
    if not err.is_terminal:
        yield
        return
    ended = threading.Event()
    watching = threading.Thread(target=_show_loads, args=(connect, ended), daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def _show_loads(connect: Callable[[], ShoalClient], ended: threading.Event) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with (
        contextlib.suppress(ShoalError),  # the block itself says what is wrong
        Progress(*columns, console=err, transient=True) as progress,
        connect() as shoal,
    ):
        bars: dict[str, TaskID] = {}
        while not ended.wait(_LOOK_S):
            for model in shoal.models():
                for replica in model.replicas:
                    _show_load(progress, bars, model.name, replica)


def _show_load(
    progress: Progress, bars: dict[str, TaskID], model: str, replica: LoadedModel
) -> None:
    if replica.state != "loading":
        if replica.replica in bars:
            progress.remove_task(bars.pop(replica.replica))
        return
    if replica.replica not in bars:
        bars[replica.replica] = progress.add_task("", total=None)
    progress.update(
        bars[replica.replica],
        description=escape(f"{model}: {replica.phase}"),
        completed=replica.fraction,
        total=1.0 if replica.fraction else None,
    )


def show_models(models: tuple[Model, ...]) -> None:
    """Print a line for each model, and one for each replica of it."""
    table = Table("model", "MB", "needs MB", "used by", "", box=None)
    for m in models:
        used = ", ".join(m.collections)
        needs = f"{m.footprint_bytes / _MB:.0f}" if m.footprint_bytes else ""
        sizes = (f"{m.size_bytes / _MB:.0f}", needs)
        table.add_row(Text(m.name), *sizes, Text(used), Text(m.problem or m.fingerprint))
        for r in m.replicas:
            memory = f"{r.pss_bytes / _MB:.0f} of {r.limit_bytes / _MB:.0f} MB"
            table.add_row(Text(f"  {r.replica}"), "", "", r.state, f"{memory} {r.phase}".strip())
    out.print(table)


def show_quantized(report: QuantizeReport) -> None:
    """Print what became of a model that was quantised."""
    table = Table("", "MB", "texts/s, one thread", box=None)
    for path, size, speed in (
        (report.source, report.source_bytes, report.source_texts_per_s),
        (report.target, report.target_bytes, report.target_texts_per_s),
    ):
        table.add_row(Text(str(path)), f"{size / _MB:.1f}", f"{speed:.1f}")
    out.print(table)
    out.print(
        f"cosine to the original over {report.texts} texts: mean {report.cosine_mean:.4f}, "
        f"least {report.cosine_min:.4f}"
    )


def show_answer(answer: SearchReply, limit_lines: bool) -> None:
    """Print hits, and what an answer lacks."""
    several = len(answer.collections) > 1
    for hit in answer.hits:
        _show_hit(hit, several, limit_lines)
    if not answer.hits:
        err.print("nothing found")
    if answer.rerank_problem:
        err.print(f"not reranked: {answer.rerank_problem}", markup=False)
    _show_coverage(answer.collections)


def show_symbols(found: SymbolsReply) -> None:
    """Print definitions, and what an answer lacks."""
    several = len(found.collections) > 1
    for each in found.symbols:
        place = _place(each, several)
        place.append(f"  {each.kind}", "dim")
        out.print(place)
        out.print(Text(f"    {one_line(each.signature)}"))
    if not found.symbols:
        err.print("nothing found")
    if found.more:
        err.print("there may be more; --limit, --kind, or a longer name as in Class.name")
    _show_coverage(found.collections)


def show_passage(passage: Passage) -> None:
    """Print stored lines, and on stderr what they are."""
    err.print(_place(passage, several=True))
    out.print(Text(visible(passage.text)))


def _show_coverage(collections: tuple[CollectionCoverage, ...]) -> None:
    for part in collections:
        if part.problem:
            err.print(f"{part.name}: {part.coverage:.0%} searched: {part.problem}", markup=False)
        if part.behind_s is not None:
            err.print(f"{part.name}: {in_words(part.behind_s)}", markup=False)


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
    for line in set_aside(job):
        out.print(line, markup=False)


def show_collections(collections: tuple[Collection, ...]) -> None:
    """Print a line for each collection."""
    numbers = ("generation", "chunks", "shards", "segments")
    table = Table("collection", *numbers, "source", "", box=None)
    for c in collections:
        taken = f" ({one_line(str(c.choice))})" if c.choice else ""
        source = Text(c.problem or (c.source or "handed in") + taken)
        counts = (str(getattr(c, number)) for number in numbers)
        table.add_row(Text(c.name), *counts, source, in_words(c.behind_s))
    out.print(table if collections else "no collections yet; index a folder, as in `shoal index .`")


def show_history(generations: tuple[Generation, ...]) -> None:
    """Print a line for each generation."""
    columns = ("generation", "published", "by", "chunks", "segments", "leases", "", "model")
    table = Table(*columns, box=None)
    for g in generations:
        numbers = (str(g.chunks), str(g.segments), str(g.leases))
        served = "served" if g.served else ""
        model = Text(g.problem or g.model)
        table.add_row(str(g.generation), g.created_at, Text(g.writer), *numbers, served, model)
    out.print(table)


def show_verification(verified: Verification) -> None:
    """Print what was read, and what is wrong with it."""
    out.print(
        f"{verified.collection}: generation {verified.generation}, {verified.chunks} chunks in "
        f"{verified.segments} segments: "
        f"{'damaged' if verified.findings else 'all is as it was written'}",
        markup=False,
    )
    for finding in verified.findings:
        out.print(f"segment {finding.segment}: {finding.what}", markup=False)
    for way_out in dict.fromkeys(finding.way_out for finding in verified.findings):
        out.print(way_out, markup=False)


def show_status(status: Status) -> None:
    """Print how the cluster is."""
    out.print(heading(status), markup=False)
    show_actors(status, out)
    out.print()
    show_collections(status.collections)
    if status.jobs:
        out.print()
        out.print(jobs_table(status.jobs, time.time()))


def _show_hit(hit: SearchHit, several: bool, limit_lines: bool) -> None:
    place = _place(hit, several)
    place.append(f"  {hit.score:.4f}", "dim")
    out.print(place)
    if hit.why:
        out.print(Text(f"    {explained(hit.why, hit.score)}", "dim"))
    lines = visible(hit.text).split("\n")
    shown = lines[:_SNIPPET_LINES] if limit_lines else lines
    for line in shown:
        out.print(Text(f"    {line}"))
    if len(shown) < len(lines):
        out.print(Text(f"    … {len(lines) - len(shown)} more lines", "dim"))
    out.print()


def _place(found: SearchHit | Symbol | Passage, several: bool) -> Text:
    """Return where something stands, as editors open it, and its symbol."""
    place = Text()
    if several:
        place.append(f"{found.collection}: ", "dim")
    place.append(f"{one_line(found.path)}:{found.start_line}-{found.end_line}", "bold cyan")
    place.append(f"  {one_line(found.symbol)}" if found.symbol else "", "green")
    return place
