"""What the tools answer about collections, jobs and the cluster, within what a context can take.

Some hosts hand a model the structured result, some the text, so both are made from these and say
the same. Of these, JSON is the longer.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from cluster.protocol import Collection, Job, Replica, Status
from cluster.visible import visible
from mcp_adapter.budget import LIST_TOKENS, cost, fitting, room, shortened

MAX_JOBS = 10
MAX_JOB_ERRORS = 20
_PATH_BYTES, _ERROR_BYTES = 240, 1_000


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IndexAnswer(Answer):
    """A job that was started, as far as it was when the answer was given."""

    job_id: str
    path: str
    job: Job


class JobsAnswer(Answer):
    """Jobs, running ones first, newest first; `omitted` ones are remembered beside them."""

    jobs: tuple[Job, ...]
    omitted: int = 0


class DeletedAnswer(Answer):
    """Names of the collections that were deleted."""

    deleted: tuple[str, ...]


class CollectionsAnswer(Answer):
    """What is indexed; `omitted` collections exist beside those listed."""

    collections: tuple[Collection, ...]
    omitted: int = 0


class ClusterAnswer(Answer):
    """The cluster as its gateway sees it; `jobs` holds the latest only.

    Where `problem` is not empty, the service is away or incomplete, and says why.
    """

    problem: str = ""
    version: str = ""
    root: str = ""
    model: str = ""
    memory_plan: str = ""
    nodes: int = 0
    uptime_s: float = 0.0
    memory_bytes: int = 0
    processes: int = 0
    collections: int = 0
    replicas: tuple[Replica, ...] = ()
    replicas_omitted: int = 0
    jobs: tuple[Job, ...] = ()


def index_answer(job: Job, path: str) -> IndexAnswer:
    """Return what indexing a path has come to."""
    return IndexAnswer(job_id=job.id, path=path, job=_short(job))


def job_answer(job: Job) -> JobsAnswer:
    """Return one job with the first of its errors."""
    return JobsAnswer(jobs=(_short(job),))


def jobs_answer(found: tuple[Job, ...]) -> JobsAnswer:
    """Return the first jobs, and how many more there are."""
    shown = tuple(map(_short, found[:MAX_JOBS]))
    return JobsAnswer(jobs=shown, omitted=len(found) - len(shown))


def collections_answer(found: tuple[Collection, ...]) -> CollectionsAnswer:
    """Return the first collections, and how many more there are."""
    shown = fitting(found, lambda collection: cost(collection, ""), room(LIST_TOKENS))
    return CollectionsAnswer(collections=tuple(shown), omitted=len(found) - len(shown))


def cluster_answer(status: Status) -> ClusterAnswer:
    """Return the state of the cluster, its running jobs before those that ended."""
    told = set(ClusterAnswer.model_fields) - {"collections", "replicas_omitted", "jobs"}
    telling = {name: getattr(status, name) for name in told - {"problem", "replicas"}}
    running_first = sorted(status.jobs, key=lambda job: job.state != "running")
    troubled_first = sorted(status.replicas, key=lambda replica: not replica.problem)
    shown = fitting(troubled_first, lambda replica: cost(replica, ""), room(LIST_TOKENS))
    return ClusterAnswer(
        **telling,
        problem=_problem(status),
        collections=len(status.collections),
        replicas=tuple(shown),
        replicas_omitted=len(status.replicas) - len(shown),
        jobs=tuple(map(_short, running_first[:MAX_JOBS])),
    )


def _problem(status: Status) -> str:
    away = [replica.name for replica in status.replicas if replica.problem]
    if status.nodes == 0:
        return "the cluster's head does not answer: searches fail until it is back"
    return f"these do not answer, and may be restarting: {', '.join(away)}" if away else ""


def _short(job: Job) -> Job:
    """Return a job with the first of its errors, and no text of any length."""
    shown = tuple(
        error.model_copy(update={"path": shortened(visible(error.path), _PATH_BYTES)})
        for error in job.errors[:MAX_JOB_ERRORS]
    )
    omitted = job.errors_omitted + len(job.errors) - len(shown)
    error = shortened(visible(job.error), _ERROR_BYTES)
    return job.model_copy(update={"errors": shown, "errors_omitted": omitted, "error": error})
