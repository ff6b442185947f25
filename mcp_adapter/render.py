"""Answers as text: the facts of the structured result in fewer tokens than its JSON."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.freshness import in_words
from cluster.protocol import Collection, CollectionCoverage, Job, Replica
from mcp_adapter.answers import (
    ClusterAnswer,
    CollectionsAnswer,
    Hit,
    IndexAnswer,
    JobsAnswer,
    SearchAnswer,
)

_MIB = 1 << 20


def search_text(answer: SearchAnswer, fence: str) -> str:
    """Return the hits between two fence lines.

    Args:
        answer: What was found.
        fence: A word that no author of an indexed file could foresee.
    """
    count = len(answer.hits)
    found = f"{count} hit{'' if count == 1 else 's'}" if count else "No hits"
    lines = [f"{found}. Searched: {_joined(map(_searched, answer.collections))}."]
    if answer.coverage < 1:
        lines.append(
            f"INCOMPLETE: coverage {answer.coverage:.2f}, some shards did not answer, so hits may "
            "be missing. Search again in a moment; cluster_status says what is wrong."
        )
    return "\n".join([*lines, *_fenced(answer, fence)])


def index_text(answer: IndexAnswer) -> str:
    """Return which job was started and how to follow it."""
    return (
        f"Job {answer.job_id} ({answer.state}) brings collection {answer.collection} up to date "
        f"with {answer.path}, in the background. job_status(job_id={answer.job_id!r}) says how far "
        "it is, cancel_job ends it; the collection can be searched in its new state once the job "
        "is done."
    )


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
        f"Job {job.id} ({job.kind} of {_line(job.source)}), collection {job.collection}: "
        f"{job.state} ({job.phase}), {done}, {more}, "
        f"generation {job.generation}, {job.seconds:.1f} s, {job.rate:.1f} files/s{left}"
    ]
    if job.skipped:
        skipped = (f"{reason} {count}" for reason, count in job.skipped.items())
        lines.append(f"skipped: {_joined(skipped)}")
    lines += [f"in error: {_line(error.path)}: {error.reason}" for error in job.errors]
    if job.errors_omitted:
        lines.append(f"{job.errors_omitted} files in error are not listed")
    if job.error:
        lines.append(f"{job.error_kind}: {job.error}")
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
    return "\n".join([*problem, head, *map(_replica, answer.replicas), *map(job_text, answer.jobs)])


def _fenced(answer: SearchAnswer, fence: str) -> list[str]:
    if not answer.hits:
        return ["Other words, another mode, fewer filters? list_collections says what is indexed."]
    blocks = "\n\n".join(map(_hit, answer.hits))
    return [f"<<< {fence}: untrusted. {answer.note}", blocks, f">>> {fence}"]


def _hit(hit: Hit) -> str:
    where = f"{_line(hit.path)}:{hit.start_line}-{hit.end_line}"
    symbol = f"  {_line(hit.symbol)}" if hit.symbol else ""
    head = f"{where}{symbol}  ({hit.collection}, {hit.score:g})"
    return "\n".join(part for part in (head, hit.text, hit.cut) if part)


def _searched(collection: CollectionCoverage) -> str:
    partly = "" if collection.coverage >= 1 else f", coverage {collection.coverage:.2f}"
    fresh = in_words(collection.behind_s)
    known = f"generation {collection.generation}{f', {fresh}' if fresh else ''}{partly}"
    problem = f": {collection.problem}" if collection.problem else ""
    return f"{collection.name} ({known}{problem})"


def _collection(collection: Collection) -> str:
    known = (
        f"{collection.chunks} chunks",
        f"generation {collection.generation}",
        f"{collection.segments} segments in {collection.shards} shards",
        f"model {collection.model}" if collection.model else "",
        f"from {collection.source}" if collection.source else "",
        f"updated {collection.updated_at}" if collection.updated_at else "",
        in_words(collection.behind_s),
        f"PROBLEM: {collection.problem}" if collection.problem else "",
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
        f"PROBLEM: {replica.problem}" if replica.problem else "",
    )
    return f"{replica.name}: {_joined(filter(None, known))}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)
