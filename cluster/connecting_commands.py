"""The commands of `shoal mcp`: the server itself, and getting clients to start it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from actors.errors import InvalidRequest
from cluster.settings import Settings
from cluster.shell import with_settings

app = typer.Typer(help="Serve MCP over stdio; have a client start this server.")
Name = Annotated[
    Literal["claude-code", "cursor", "vscode", "codex"],
    typer.Option("--client", help="Whose configuration."),
]
Scope = Annotated[
    Literal["user", "project"],
    typer.Option(help="For all of your projects, or for the one in the current folder."),
]


@app.callback(invoke_without_command=True)
@with_settings
def mcp(
    settings: Settings,
    context: typer.Context,
    compatibility: Annotated[
        bool, typer.Option("--compatibility", help="Offer the names of embed-search's tools too.")
    ] = False,
) -> None:
    """Serve MCP over stdio; the gateway is started by the first tool that needs it."""
    if context.invoked_subcommand:
        return
    from cluster import cli  # noqa: PLC0415

    wanted = compatibility or settings.mcp_compatibility
    cli.mcp(settings.model_copy(update={"mcp_compatibility": wanted}))


@app.command()
@with_settings
def install(
    settings: Settings,
    name: Name,
    scope: Scope = "user",
    command: Annotated[
        str | None, typer.Option(help="What the client starts; this installation if absent.")
    ] = None,
    only_print: Annotated[
        bool, typer.Option("--print", help="Show what to write, and write nothing.")
    ] = False,
) -> None:
    """Write into a client's configuration that it is to start this server."""
    from cluster.connecting import CLIENTS, connected, snippet  # noqa: PLC0415

    client = CLIENTS[name]
    entry = client.entry(command or _this_command(), _environment(settings))
    if only_print:
        typer.echo(f"in {client.file(scope)}:", err=True)
        typer.echo(snippet(client, scope, entry), nl=False)
        return
    edit = connected(client, scope, entry)
    if edit.before == edit.after:
        typer.echo(f"{edit.file} has it already")
        return
    edit.carry_out()
    typer.echo(f"{edit.file}: {client.title} starts {entry['command']} mcp; {client.next_step}")
    if settings.url and settings.token.get_secret_value():
        typer.echo("the token is not written down: set SHOAL_TOKEN where the client starts")


@app.command()
@with_settings
def uninstall(_settings: Settings, name: Name, scope: Scope = "user") -> None:
    """Take this server out of a client's configuration."""
    from cluster.connecting import CLIENTS, disconnected  # noqa: PLC0415

    edit = disconnected(CLIENTS[name], scope)
    if edit.before == edit.after:
        typer.echo(f"{edit.file} has no entry of it")
        return
    edit.carry_out()
    typer.echo(
        f"{edit.file}: taken out" if edit.after else f"{edit.file} held nothing else: removed"
    )


def _this_command() -> str:
    """Return the path of this installation's `shoal`: editors rarely have it on their own path."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("shoal", path=beside) or shutil.which("shoal")
    if found is None:
        message = "shoal is not on PATH; name what the client is to start with --command"
        raise InvalidRequest(message)
    return str(Path(found).absolute())


def _environment(settings: Settings) -> dict[str, str]:
    """Return what makes the server use the gateway that these settings name; no secrets."""
    if settings.url:
        return {"SHOAL_URL": settings.url}
    return {"SHOAL_ROOT": settings.root_uri} if "root" in settings.model_fields_set else {}
