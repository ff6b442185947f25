"""`shoal backup` and `shoal restore`: collections kept elsewhere, and brought back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from actors.errors import InvalidRequest
from cluster import job_commands
from cluster.addresses import is_uri
from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

if TYPE_CHECKING:
    from cluster.client import ShoalClient
    from cluster.protocol import Job
    from cluster.upkeep_protocol import Backup

_PLACE = "A folder (with --url: of the gateway's machine), or s3://bucket/prefix (gs://, az://)."


@with_settings
def backup(
    settings: Settings,
    collections: Annotated[list[str], typer.Argument(metavar="COLLECTION...")],
    to: Annotated[str, typer.Option("--to", help=_PLACE)],
    as_json: AsJson = False,
) -> None:
    """Copy collections to another place; what is there from earlier backups is not copied again."""
    place, done = _place(settings, to), []
    with client(settings) as shoal:
        for collection in collections:
            job = _finished(shoal, shoal.backup(collection, to=place))
            done.append(job)
            if not as_json:
                _show(f"{collection}: generation {job.generation} is in {place}", job)
    if as_json:
        print_json([job.model_dump(mode="json") for job in done])


@with_settings
def restore(
    settings: Settings,
    collections: Annotated[
        list[str] | None, typer.Argument(metavar="[COLLECTION...]", help="All that are there.")
    ] = None,
    source: Annotated[str, typer.Option("--from", help=_PLACE)] = "",
    name: Annotated[
        str | None, typer.Option("--as", help="Another name for the collection.")
    ] = None,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Of which there is a backup; the newest if absent.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace collections that exist.")
    ] = False,
    only_list: Annotated[
        bool, typer.Option("--list", help="List the backups; restore nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring collections back from a backup; every byte is compared, then all of it is published."""
    if not source:
        message = "say where the backup is, as in `shoal restore --from s3://bucket/prefix`"
        raise InvalidRequest(message)
    place, done = _place(settings, source), []
    with client(settings) as shoal:
        there = () if collections and not only_list else shoal.backups(place)
        if only_list:
            _list([b for b in there if not collections or b.collection in collections], as_json)
            return
        for collection in _chosen(collections, there, place, name):
            job = shoal.restore(
                collection, source=place, name=name, generation=generation, replace=replace
            )
            job = _finished(shoal, job)
            done.append(job)
            if not as_json:
                _show(f"{job.collection}: generation {job.generation} holds the backup", job)
    if as_json:
        print_json([job.model_dump(mode="json") for job in done])


def _chosen(
    named: list[str] | None, there: tuple[Backup, ...], place: str, name: str | None
) -> list[str]:
    """Return which collections to restore: those that are named, or all that are there."""
    chosen = named or sorted({backup.collection for backup in there})
    if not chosen:
        message = f"{place} holds no backup; `shoal backup COLLECTION --to {place}` makes one"
        raise InvalidRequest(message)
    if name and len(chosen) > 1:
        message = f"--as is for one collection; name one of {', '.join(chosen)}"
        raise InvalidRequest(message)
    return chosen


def _place(settings: Settings, given: str) -> str:
    """Return a place in full; a folder of another machine has to be written so."""
    if is_uri(given):
        return given.rstrip("/")
    if settings.url and not os.path.isabs(given):
        message = f"{given} is to be a folder of the gateway's machine: write it in full"
        raise InvalidRequest(message)
    return given if settings.url else os.path.abspath(os.path.expanduser(given))


def _finished(shoal: ShoalClient, job: Job) -> Job:
    """Show how far a job is until it ends."""
    from cluster import console  # noqa: PLC0415

    try:
        with console.job_progress() as show:
            return shoal.wait(job, show)
    except KeyboardInterrupt:
        console.err.print(job_commands.how_to_go_on(job.id), markup=False)
        raise


def _show(what: str, job: Job) -> None:
    from cluster import console  # noqa: PLC0415

    console.out.print(
        f"{what}: {job.chunks} chunks, {job.files_changed} files copied, "
        f"{job.files_unchanged} were there, in {job.seconds:.1f} s",
        markup=False,
    )


def _list(backups: list[Backup], as_json: bool) -> None:
    from cluster import console  # noqa: PLC0415

    if as_json:
        print_json([backup.model_dump() for backup in backups])
        return
    table = Table("collection", "generation", "made", box=None)
    for each in backups:
        table.add_row(Text(each.collection), str(each.generation), each.made_at)
    console.out.print(table if backups else "no backups there")
