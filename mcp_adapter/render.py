"""Answers as text: the facts of the structured result in fewer tokens than its JSON."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.freshness import in_words
from cluster.protocol import Collection, Job, Replica
from cluster.visible import one_line
from mcp_adapter.answers import (
    ClusterAnswer,
    CollectionsAnswer,
    DeletedAnswer,
    IndexAnswer,
    JobsAnswer,
)

_MIB = 1 << 20


def index_text(answer: IndexAnswer) -> str:
    """Return how far the job is, and how to follow it where it goes on."""
    lines = [f"{one_line(answer.path)}:", job_text(answer.job)]
    if answer.job.state == "running":
        lines.append(
            f"It goes on in the background. job_status(job_id={answer.job_id!r}, wait_s=30) waits "
            "for its end, cancel_job ends it; search finds the new state once it is done."
        )
    return "\n".join(lines)


def deleted_text(answer: DeletedAnswer) -> str:
    """Return what search does not find any more."""
    named = _joined(answer.deleted) or "nothing, because nothing is indexed"
    return f"Deleted: {named}. The files are as they were; index_path makes a collection again."


def jobs_text(answer: JobsAnswer) -> str:
    """Return how far jobs are, and how many more there are."""
    if not answer.jobs:
        return "No jobs yet. index_path(path=<absolute folder>) starts one."
    more = [f"and {answer.omitted} older ones"] if answer.omitted else []
    return "\n".join([*map(job_text, answer.jobs), *more])


def job_text(job: Job) -> str:
    """Return how far a job is."""
    done = f"{job.files_done} of {job.files_total} files"
    more = (
        f"{job.files_changed} new or changed, {job.files_unchanged} unchanged, "
        f"{job.files_removed} removed, {job.chunks} chunks"
    )
    left = "" if job.eta_s is None else f", about {job.eta_s:.0f} s left"
    lines = [
        f"Job {job.id} ({job.kind} of {one_line(job.source)}), collection {job.collection}: "
        f"{job.state} ({job.phase}), {done}, {more}, "
        f"generation {job.generation}, {job.seconds:.1f} s, {job.rate:.1f} files/s{left}"
    ]
    if job.skipped:
        skipped = (f"{reason} {count}" for reason, count in job.skipped.items())
        lines.append(f"skipped: {_joined(skipped)}")
    lines += [f"in error: {one_line(error.path)}: {one_line(error.reason)}" for error in job.errors]
    if job.errors_omitted:
        lines.append(f"{job.errors_omitted} files in error are not listed")
    if job.error:
        lines.append(f"{job.error_kind}: {one_line(job.error)}")
    return "\n".join(lines)


def collections_text(answer: CollectionsAnswer) -> str:
    """Return one line for each collection."""
    if not answer.collections:
        return "Nothing is indexed yet. index_path(path=<absolute folder>) makes a collection."
    more = [f"and {answer.omitted} more"] if answer.omitted else []
    return "\n".join([*map(_collection, answer.collections), *more])


def cluster_text(answer: ClusterAnswer) -> str:
    """Return the state of the cluster, a line for each of its actors and jobs."""
    problem = [f"PROBLEM: {answer.problem}"] if answer.problem else []
    if not answer.version:
        return "\n".join(problem)
    head = (
        f"Shoal {answer.version}, up {answer.uptime_s:.0f} s on {answer.nodes} node(s): "
        f"{answer.processes} processes in {answer.memory_bytes / _MIB:.0f} MiB, model "
        f"{answer.model}, {answer.collections} collection(s) in {answer.root}. {answer.memory_plan}"
    )
    more = [f"and {answer.replicas_omitted} more processes"] if answer.replicas_omitted else []
    lines = (*problem, head, *map(_replica, answer.replicas), *more, *map(job_text, answer.jobs))
    return "\n".join(lines)


def _collection(collection: Collection) -> str:
    known = (
        f"{collection.chunks} chunks",
        f"generation {collection.generation}",
        f"{collection.segments} segments in {collection.shards} shards",
        f"model {collection.model}" if collection.model else "",
        f"from {one_line(collection.source)}" if collection.source else "",
        one_line(str(collection.choice)),
        f"updated {collection.updated_at}" if collection.updated_at else "",
        in_words(collection.behind_s),
        f"PROBLEM: {one_line(collection.problem)}" if collection.problem else "",
    )
    return f"{collection.name}: {_joined(filter(None, known))}"


def _replica(replica: Replica) -> str:
    detail = (f"{key}={value}" for key, value in replica.detail.items() if value != "")
    counts = {"refusals": replica.refusals, "kills": replica.kills, "restarts": replica.restarts}
    known = (
        replica.kind,
        f"pid {replica.pid}",
        f"{replica.pss_bytes / _MIB:.0f} of {replica.limit_bytes / _MIB:.0f} MiB",
        "" if replica.pressure == "ok" else f"{replica.pressure} memory pressure",
        replica.enforcement,
        *detail,
        *(f"{name}={count}" for name, count in counts.items() if count),
        f"PROBLEM: {one_line(replica.problem)}" if replica.problem else "",
    )
    return f"{replica.name}: {_joined(filter(None, known))}"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)
