"""The commands of `shoal`.

What a command needs is imported inside it: none but `serve` may import Ray.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from actors.engines.spec import parse
from actors.errors import InvalidRequest, ShoalError
from cluster import (
    collection_commands,
    connecting_commands,
    job_commands,
    model_commands,
    open_command,
    plan_command,
    search_commands,
    watch_command,
)
from cluster.addresses import is_uri
from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

if TYPE_CHECKING:
    from cluster.client import ShoalClient
    from cluster.protocol import Job

FAILED, MISUSE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    help="Search code and documents by meaning and by word.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(model_commands.app, name="models")
app.add_typer(collection_commands.app, name="collections")
app.add_typer(connecting_commands.app, name="mcp")
app.command()(job_commands.jobs)
app.command("open")(open_command.open_page)
app.command()(plan_command.plan)
app.command()(watch_command.watch)
for _command in search_commands.COMMANDS:
    app.command()(_command)
Collection = Annotated[str | None, typer.Option(help="Collection's name.")]
Count = int | None


@app.command()
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

    wanted = {"collection": collection, "model": str(parse(model).located()) if model else None}
    places = _located(paths)
    with client(settings) as shoal:
        if settings.url and not on_gateway and not any(map(is_uri, places)):
            folder, scopes = sending.parted(places)
            job = shoal.upload(folder, scopes=scopes, **wanted)
        else:
            job = shoal.index(places, **wanted)
        _wait(shoal, job, as_json)


@app.command()
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
        )
        _wait(shoal, job, as_json)


@app.command()
@with_settings
def status(settings: Settings, as_json: AsJson = False) -> None:
    """Show the cluster: actors, memory, collections, jobs."""
    from cluster import console, daemon  # noqa: PLC0415

    if not settings.url and daemon.find(settings) is None:
        if as_json:
            print_json({"running": False, "root": settings.root_uri})
        else:
            console.out.print(f"no gateway runs for {settings.root_uri}; `shoal up` starts one")
        return
    with client(settings) as shoal:
        found = shoal.status()
    if as_json:
        print_json({"running": True, **found.model_dump(mode="json")})
    else:
        console.show_status(found)


@app.command()
@with_settings
def up(settings: Settings) -> None:
    """Start this machine's gateway, if it does not run."""
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal:
        found = shoal.status()
    console.out.print(
        f"gateway {found.gateway_pid} is ready ({found.nodes} node(s)), root {found.root}"
    )


@app.command()
@with_settings
def down(settings: Settings) -> None:
    """End the gateway and every process that it started."""
    from cluster import console, daemon  # noqa: PLC0415

    if settings.url:
        with client(settings) as shoal:
            shoal.shutdown()
        ended = True
    else:
        ended = daemon.stop(settings)
    console.out.print("the gateway has ended" if ended else "no gateway was running")


@app.command()
@with_settings
def scale(
    settings: Settings,
    embedders: Annotated[Count, typer.Option(help="Replicas of each model in use.")] = None,
    hosts: Annotated[Count, typer.Option(help="Shard hosts.")] = None,
    replication: Annotated[Count, typer.Option(help="Hosts that serve each shard.")] = None,
    routers: Annotated[Count, typer.Option(help="Routers.")] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="What is not given follows the cluster's machines.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Change how many actors there are while searches go on; without options, show it."""
    from cluster import console, overview  # noqa: PLC0415

    with client(settings) as shoal:
        found = shoal.scale(
            embedders=embedders, hosts=hosts, replication=replication, routers=routers, auto=auto
        )
    if as_json:
        print_json(found.model_dump())
    else:
        console.out.print(overview.scale_line(found))


@app.command()
@with_settings
def delete(
    settings: Settings,
    collection: Annotated[str, typer.Argument(help="The collection's name.")],
) -> None:
    """Delete a collection; the files that were indexed stay."""
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal:
        shoal.delete(collection)
    console.out.print(f"collection {collection} is deleted", markup=False)


@app.command()
@with_settings
def serve(
    settings: Settings,
    host: Annotated[str | None, typer.Option(help="Listen on TCP, at this address.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8750,
) -> None:
    """Run the gateway in the foreground: the one Ray driver, serving HTTP."""
    from cluster import cli  # noqa: PLC0415

    cli.serve(settings, host, port)


@app.command()
@with_settings
def config(settings: Settings, as_json: AsJson = False) -> None:
    """Show every setting, where it comes from, and what it is for."""
    from cluster import console  # noqa: PLC0415

    if as_json:
        print_json(settings.model_dump(mode="json"))
        return
    for name, field in Settings.model_fields.items():
        given = " (set)" if name in settings.model_fields_set else ""
        line = f"SHOAL_{name.upper()}={getattr(settings, name)}{given}\n    {field.description}"
        console.out.print(line, markup=False)


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


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        import importlib.metadata  # noqa: PLC0415

        typer.echo(f"shoal {importlib.metadata.version('shoal')}")
        raise typer.Exit


def run() -> int:
    """Run the command line and return its exit code; errors are one or two lines on stderr."""
    try:
        code = typer.main.get_command(app).main(standalone_mode=False, prog_name="shoal")
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - a user is never shown a traceback unasked
        return _report(error)
    return code or 0


def _report(error: Exception) -> int:
    if "--debug" in sys.argv:
        logging.getLogger("shoal").exception("failed")
    said = getattr(error, "format_message", lambda: str(error))() or type(error).__name__
    known = isinstance(error, (TyperException, ShoalError))
    hint = "" if known else f" ({type(error).__name__}; --debug shows where)"
    sys.stderr.write(f"error: {said}{hint}\n")
    misuse = isinstance(error, (TyperException, InvalidRequest))
    return MISUSE if misuse else FAILED
