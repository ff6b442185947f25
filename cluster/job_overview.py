"""Jobs for a person at a terminal: a line for each, or all of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from rich.table import Table
from rich.text import Text

from cluster.protocol import Job
from cluster.visible import one_line

_COLUMNS = (
    ("id", "left"),
    ("kind", "left"),
    ("collection", "left"),
    ("state", "left"),
    ("phase", "left"),
    ("files", "right"),
    ("chunks", "right"),
    ("files/s", "right"),
    ("left", "right"),
    ("age", "right"),
)


def jobs_table(jobs: Sequence[Job], now: float) -> Table:
    """Return a table with a row for each job.

    Args:
        jobs: In the order of the rows.
        now: Seconds since 1970.
    """
    table = Table(box=None, pad_edge=False)
    for name, justify in _COLUMNS:
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for job in jobs:
        row = (
            job.id,
            job.kind,
            job.collection,
            job.state,
            job.phase,
            f"{job.files_done}/{job.files_total}",
            job.chunks,
            f"{job.rate:.1f}",
            "" if job.eta_s is None else duration(job.eta_s),
            duration(now - job.started_at),
        )
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def job_lines(job: Job, now: float) -> Iterator[str]:
    """Yield all that is known of a job, line by line; arguments as for `jobs_table`."""
    yield f"job {job.id} ({job.kind}): {job.state}, {job.phase}"
    if job.error:
        yield f"{job.error_kind}: {job.error}"
    yield (
        f"collection {job.collection}, generation {job.generation}, source {one_line(job.source)}"
    )
    yield (
        f"files {job.files_done} of {job.files_total} done: {job.files_changed} new or changed, "
        f"{job.files_unchanged} unchanged, {job.files_removed} removed; {job.chunks} chunks"
    )
    runs = "runs" if job.state == "running" else "ran"
    yield (
        f"began {duration(now - job.started_at)} ago, {runs} for {duration(job.seconds)}, "
        f"{pace(job)}"
    )
    yield from set_aside(job)


def set_aside(job: Job) -> Iterator[str]:
    """Yield which files a job left out: how many by reason, and each that is in error."""
    if job.skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(job.skipped.items()))
        yield f"skipped: {reasons}"
    for error in job.errors:
        yield f"  {one_line(error.path)}: {error.reason}"
    if job.errors_omitted:
        yield f"  and {job.errors_omitted} more"


def pace(job: Job) -> str:
    """Return how fast a job is, and how long it will take where that is known."""
    left = "" if job.eta_s is None else f", {duration(job.eta_s)} left"
    return f"{job.rate:.1f} files/s{left}"


def duration(seconds: float) -> str:
    """Return seconds as in "0:01:40"; clocks of two machines may differ, so never less than 0."""
    return str(timedelta(seconds=max(0, int(seconds))))
