"""The commands that bring collections up to date: `index`, `reindex`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actors.engines.spec import parse
from cluster import job_commands
from cluster.addresses import is_uri
from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

if TYPE_CHECKING:
    from cluster.client import ShoalClient
    from cluster.protocol import Job

Collection = Annotated[str | None, typer.Option(help="Collection's name.")]
Count = int | None
Include = Annotated[
    list[str] | None,
    typer.Option(help="Glob of the only files to take; repeatable, remembered; '*' for all."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Glob of files to leave out, beside ignore files; repeatable, remembered."),
]


@with_settings
def index(
    settings: Settings,
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Folders or files; or s3://bucket/prefix (gs://, az://); or "
            "git+https://host/repository.git@revision."
        ),
    ],
    collection: Collection = None,
    model: Annotated[
        str | None, typer.Option(help="Model of a new collection, as [engine:]reference.")
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    on_gateway: Annotated[
        bool,
        typer.Option(
            "--on-gateway", help="With --url: folders of the gateway's machine, not yours."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a collection up to date with folders; unchanged files cost nothing."""
    from cluster import sending  # noqa: PLC0415

    named = str(parse(model).located()) if model else None
    chosen = {"include": include or (), "exclude": exclude or ()}
    places = _located(paths)
    with client(settings) as shoal:
        if settings.url and not on_gateway and not any(map(is_uri, places)):
            folder, scopes = sending.parted(places)
            job = shoal.upload(folder, scopes=scopes, collection=collection, model=named, **chosen)
        else:
            job = shoal.index(places, collection=collection, model=named, **chosen)
        _wait(shoal, job, as_json)


@with_settings
def reindex(
    settings: Settings,
    paths: Annotated[
        list[str] | None, typer.Argument(help="Folders or URIs of a new collection.")
    ] = None,
    collection: Collection = None,
    model: Annotated[
        str | None, typer.Option(help="Model that makes the vectors, as [engine:]reference.")
    ] = None,
    shards: Annotated[Count, typer.Option(help="How many shards the collection gets.")] = None,
    replicas: Annotated[Count, typer.Option(help="Replicas of the job's own.")] = None,
    include: Include = None,
    exclude: Exclude = None,
    as_json: AsJson = False,
) -> None:
    """Read a whole collection again as a batch job; searches go on, and see the end of it only."""
    with client(settings) as shoal:
        job = shoal.reindex(
            _located(paths or ()),
            collection=collection,
            model=str(parse(model).located()) if model else None,
            shards=shards,
            replicas=replicas,
            include=include or (),
            exclude=exclude or (),
        )
        _wait(shoal, job, as_json)


COMMANDS: Sequence[Any] = (index, reindex)


def _located(paths: Sequence[str]) -> list[str]:
    return [path if is_uri(path) else os.path.abspath(path) for path in paths]


def _wait(shoal: ShoalClient, job: Job, as_json: bool) -> None:
    """Show how far a job is until it ends, then what it did."""
    from cluster import console  # noqa: PLC0415

    try:
        with console.job_progress() as show:
            job = shoal.wait(job, show)
    except KeyboardInterrupt:
        console.err.print(job_commands.how_to_go_on(job.id), markup=False)
        raise
    if as_json:
        print_json(job.model_dump())
        return
    status = shoal.status()
    console.show_job(job, status.memory_bytes, status.processes)
