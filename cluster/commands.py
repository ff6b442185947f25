"""The commands of `shoal`.

What a command needs is imported inside it: none but `serve` may import Ray.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from actors.errors import InvalidRequest, ShoalError
from cluster import (
    backup_commands,
    collection_commands,
    config_command,
    connecting_commands,
    doctor_command,
    eval_command,
    index_commands,
    job_commands,
    model_commands,
    open_command,
    plan_command,
    search_commands,
    watch_command,
)
from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

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
app.command()(backup_commands.backup)
app.command()(backup_commands.restore)
app.command()(config_command.config)
app.command()(doctor_command.doctor)
app.command("eval")(eval_command.evaluate_sets)
for _command in (*index_commands.COMMANDS, *search_commands.COMMANDS):
    app.command()(_command)
Count = int | None


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
