"""Starting batch jobs: in the gateway, or on a machine of the cluster.

    ray job submit -- python -m cluster.reindex --collection docs --model onnx:…

runs one without a gateway, tells how far it is, and ends with it: exit code 0 where it published.
"""

from __future__ import annotations

import logging
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Annotated, Any

import ray
import typer
from pydantic import ValidationError

from actors.asking import outcome
from actors.catalog import Catalog
from actors.errors import Conflict, GatewayUnavailable, InvalidRequest, ShoalError
from actors.messages import JobState, JobStatus
from actors.process import NAMESPACE, find_actor, find_or_make
from actors.steward import StewardConfig
from actors.storage import Storage
from cluster.addresses import CLIENT, is_git
from cluster.batch_job import JOB_BYTES, BatchConfig, BatchJob
from cluster.jobs import in_short
from cluster.mounts import reading_options
from cluster.naming import Target, choose_target
from cluster.operation import first_problem
from cluster.protocol import ReindexBody
from cluster.repository import repository
from cluster.session import STEWARD
from cluster.settings import Settings

STARTING = "starting"
"""Phase of a job whose actor has not begun."""
_RESTARTS = 3
_ASK_S = 30.0
_LOOK_EVERY_S = 1.0


def start(settings: Settings, body: ReindexBody) -> JobStatus:
    """Start a batch job in an actor of its own; blocks for the cluster's answers.

    Args:
        settings: Tells what a new collection is like.
        body: What is asked.

    Raises:
        NotFound: There is no such collection, or no such path.
        InvalidRequest: The collection has no source that its nodes could read again.
        Conflict: Another batch job is at work on it.
        GatewayUnavailable: No steward runs on this cluster.
    """
    plan: StewardConfig = _asked(lambda steward: steward.configuration.remote())
    target, source = _source(Catalog(Storage(plan.root)), body)
    _refuse_a_second(target.collection)
    job_id = secrets.token_hex(6)
    config = BatchConfig(
        name=f"job-{job_id}",
        memory=replace(plan.memory, limit_bytes=JOB_BYTES),
        job_id=job_id,
        root=plan.root,
        target=target,
        repository=source if is_git(source) else "",
        model=body.model or "",
        shards=body.shards or 0,
        new_shards=settings.shards,
        default_model=plan.pools.default_model,
        max_file_bytes=settings.max_file_bytes,
        shared=settings.shared_folders,
        embedder=plan.pools.memory,
        sized_by_model=plan.pools.sized_by_model,
        room_to_come=int(settings.autoscaled_memory),
        replicas=body.replicas or len(ray.nodes()),
        threads=plan.pools.threads,
        steward=plan.name,
    )
    status = JobStatus(
        job_id,
        target.collection,
        kind="reindex",
        source=in_short(target),
        started_at=time.time(),
        phase=STARTING,
    )
    _asked(lambda steward: steward.report.remote(status))
    placed = {**reading_options(target.root, config.shared), "num_cpus": 0}
    find_or_make(BatchJob, config, max_restarts=_RESTARTS, **placed)
    return status


def _source(catalog: Catalog, body: ReindexBody) -> tuple[Target, str]:
    """Return what is to be indexed, and the address that it is read from."""
    if body.paths:
        return choose_target(catalog, body.paths, body.collection), body.paths[0]
    manifest = catalog.get(body.collection or "")
    if not manifest.source or manifest.source.startswith(f"{CLIENT}://"):
        what = manifest.source or "chunks that were handed in"
        message = (
            f"collection {manifest.collection!r} holds {what}, which this cluster cannot read "
            "again; send it anew, into another --collection where the model is to be another"
        )
        raise InvalidRequest(message)
    root = str(repository(manifest.source)) if is_git(manifest.source) else manifest.source
    return Target(manifest.collection, root, ("",)), manifest.source


def _refuse_a_second(collection: str) -> None:
    jobs: tuple[JobStatus, ...] = _asked(lambda steward: steward.jobs.remote())
    for job in jobs:
        at_work = job.state is JobState.RUNNING and job.collection == collection
        if at_work and find_actor(f"job-{job.id}") is not None:
            message = (
                f"job {job.id} is at work on collection {collection!r} ({job.phase}); wait for it, "
                f"or end it with `shoal jobs {job.id} --cancel`"
            )
            raise Conflict(message)


def _asked(call: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - whatever the method returns
    try:
        steward = ray.get_actor(STEWARD, namespace=NAMESPACE)
    except ValueError as error:
        message = "no steward runs on this cluster; start its gateway once, with `shoal serve`"
        raise GatewayUnavailable(message) from error
    return outcome(call(steward), _ASK_S)


def _ends() -> SimpleQueue[int]:
    """Return where signals that end this process are put from now on, for the job ends with it."""
    ends: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: ends.put(got))
    return ends


def _follow(job: JobStatus, ends: SimpleQueue[int]) -> JobStatus:
    """Tell how far a job is, line by line, until it ends; cancel it at a signal to end."""
    name, said = job.id, ""
    while job.state is JobState.RUNNING:
        line = f"{job.phase}: {job.files_done} of {job.files_total} files, {job.chunks} chunks"
        if line != said:
            typer.echo(line)
        said = line
        with suppress(Empty):
            number = ends.get(timeout=_LOOK_EVERY_S)
            _asked(lambda steward: steward.cancel.remote(name))
            raise typer.Exit(128 + number)
        job = _asked(lambda steward: steward.job.remote(name))
    return job


def main(
    paths: Annotated[list[str] | None, typer.Argument(help="Folders of a new collection.")] = None,
    collection: Annotated[str | None, typer.Option(help="Collection's name.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that makes the vectors.")] = None,
    shards: Annotated[int | None, typer.Option(help="How many shards it gets.")] = None,
    replicas: Annotated[int | None, typer.Option(help="Replicas of the job's own.")] = None,
) -> None:
    """Bring a whole collection up to date as a batch job of this cluster."""
    ray.init(namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    ends = _ends()  # after Ray has set its own handlers
    try:
        body = ReindexBody(
            paths=tuple(paths or ()),
            collection=collection,
            model=model,
            shards=shards,
            replicas=replicas,
        )
        job = _follow(start(Settings(), body), ends)
    except ValidationError as error:
        raise typer.BadParameter(first_problem(error)) from error
    except ShoalError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{job.state}: generation {job.generation}" if not job.error else job.error)
    raise typer.Exit(0 if job.state is JobState.DONE else 1)


if __name__ == "__main__":
    typer.run(main)
