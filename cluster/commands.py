"""The commands of `shoal`.

What a command needs is imported inside it: none but `serve` may import Ray.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from typer.exceptions import TyperException

from actors.errors import InvalidRequest, ShoalError
from cluster.settings import Settings

if TYPE_CHECKING:
    from cluster.client import ShoalClient

FAILED, MISUSE, INTERRUPTED = 1, 2, 130
_MAX_LIMIT = 1000
_MAX_CONTEXT = 200

app = typer.Typer(
    help="Search code and documents by meaning and by word.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_EVERYWHERE = {
    "root": Annotated[str | None, typer.Option(help="Folder or object-store URI of collections.")],
    "url": Annotated[str | None, typer.Option(help="A gateway's URL, in place of this machine's.")],
    "debug": Annotated[bool, typer.Option(help="Log more, and show tracebacks.")],
}
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Collection = Annotated[str | None, typer.Option(help="Collection's name.")]


def command(run: Callable[..., None]) -> Callable[..., None]:
    """Register a command with --root, --url and --debug, which become its settings."""

    @wraps(run)
    def with_settings(
        *args: Any,  # noqa: ANN401 - whatever the command takes
        root: str | None,
        url: str | None,
        debug: bool,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
        logging.getLogger("shoal").setLevel(logging.DEBUG if debug else logging.WARNING)
        given = {"root": root, "url": url}
        run(_settings({k: v for k, v in given.items() if v is not None}), *args, **kwargs)

    own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(name, kind, default=False if name == "debug" else None, annotation=hint)
        for name, hint in _EVERYWHERE.items()
    ]
    signature = inspect.Signature([*own, *shared])
    with_settings.__signature__ = signature  # type: ignore[attr-defined]
    with_settings.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
    app.command()(with_settings)
    return run


@command
def index(
    settings: Settings,
    paths: Annotated[list[Path], typer.Argument(help="Folders or files to index.")],
    collection: Collection = None,
    as_json: AsJson = False,
) -> None:
    """Bring a collection up to date with folders; unchanged files cost nothing."""
    from cluster import console  # noqa: PLC0415

    with _client(settings) as shoal:
        job = shoal.index([os.path.abspath(path) for path in paths], collection=collection)
        try:
            with console.job_progress() as show:
                job = shoal.wait(job, show)
        except KeyboardInterrupt:
            console.err.print(f"job {job.id} goes on in the background; see `shoal status`")
            raise
        if as_json:
            _print_json(job.model_dump())
            return
        status = shoal.status()
        console.show_job(job, status.memory_bytes, status.processes)


@command
def search(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="A question, an identifier, a piece of code.")],
    collection: Annotated[
        list[str] | None, typer.Option(help="Search this one; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_MAX_LIMIT, help="How many hits.")] = 10,
    mode: Annotated[str, typer.Option(help="hybrid, semantic or lexical.")] = "hybrid",
    path: Annotated[
        list[str] | None, typer.Option(help="Glob that a hit's path matches; may be repeated.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Language of hits; may be repeated.")
    ] = None,
    context: Annotated[
        int, typer.Option(min=0, max=_MAX_CONTEXT, help="Lines around each hit.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Search collections; without --collection, all of them."""
    from cluster import console  # noqa: PLC0415

    with _client(settings) as shoal:
        answer = shoal.search(
            query,
            collections=collection or (),
            mode=mode,  # type: ignore[arg-type]
            limit=limit,
            paths=path or (),
            languages=[name.lower() for name in language or ()],
            context=context,
        )
    if as_json:
        _print_json(answer.model_dump(mode="json"))
    else:
        console.show_answer(answer, limit_lines=not context)


@command
def status(settings: Settings, as_json: AsJson = False) -> None:
    """Show the cluster: actors, memory, collections, jobs."""
    from cluster import console, daemon  # noqa: PLC0415

    if not settings.url and daemon.find(settings) is None:
        if as_json:
            _print_json({"running": False, "root": settings.root_uri})
        else:
            console.out.print(f"no gateway runs for {settings.root_uri}; `shoal up` starts one")
        return
    with _client(settings) as shoal:
        found = shoal.status()
    if as_json:
        _print_json({"running": True, **found.model_dump(mode="json")})
    else:
        console.show_status(found)


@command
def up(settings: Settings) -> None:
    """Start this machine's gateway, if it does not run."""
    from cluster import console  # noqa: PLC0415

    with _client(settings) as shoal:
        found = shoal.status()
    console.out.print(
        f"gateway {found.gateway_pid} is ready ({found.nodes} node(s)), root {found.root}"
    )


@command
def down(settings: Settings) -> None:
    """End the gateway and every process that it started."""
    from cluster import console, daemon  # noqa: PLC0415

    if settings.url:
        with _client(settings) as shoal:
            shoal.shutdown()
        ended = True
    else:
        ended = daemon.stop(settings)
    console.out.print("the gateway has ended" if ended else "no gateway was running")


@command
def collections(settings: Settings, as_json: AsJson = False) -> None:
    """List the collections."""
    from cluster import console  # noqa: PLC0415

    with _client(settings) as shoal:
        found = shoal.collections()
    if as_json:
        _print_json([c.model_dump(mode="json") for c in found])
    else:
        console.show_collections(found)


@command
def delete(
    settings: Settings,
    collection: Annotated[str, typer.Argument(help="The collection's name.")],
) -> None:
    """Delete a collection; the files that were indexed stay."""
    from cluster import console  # noqa: PLC0415

    with _client(settings) as shoal:
        shoal.delete(collection)
    console.out.print(f"collection {collection} is deleted", markup=False)


@command
def serve(
    settings: Settings,
    host: Annotated[str | None, typer.Option(help="Listen on TCP, at this address.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8750,
    background: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the gateway in the foreground: the one Ray driver, serving HTTP."""
    from cluster import cli  # noqa: PLC0415

    if not background:
        logging.getLogger("shoal").setLevel(logging.INFO)
    cli.serve(settings, host, port)


@command
def mcp(settings: Settings) -> None:
    """Serve MCP over stdio; the gateway is started by the first tool that needs it."""
    from cluster import cli  # noqa: PLC0415

    cli.mcp(settings)


@command
def config(settings: Settings, as_json: AsJson = False) -> None:
    """Show every setting, where it comes from, and what it is for."""
    from cluster import console  # noqa: PLC0415

    if as_json:
        _print_json(settings.model_dump(mode="json"))
        return
    for name, field in Settings.model_fields.items():
        given = " (set)" if name in settings.model_fields_set else ""
        line = f"SHOAL_{name.upper()}={getattr(settings, name)}{given}\n    {field.description}"
        console.out.print(line, markup=False)


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


def _settings(given: dict[str, str]) -> Settings:
    """Return the settings; InvalidRequest names the variable that is wrong."""
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(map(str, first["loc"])).upper()
        message = f"SHOAL_{name} is {first['input']!r}: {first['msg']}; see `shoal config`"
        raise InvalidRequest(message) from error


def _client(settings: Settings) -> ShoalClient:
    """Return a client of the gateway that the settings name, started with progress if absent."""
    from cluster import console, daemon  # noqa: PLC0415
    from cluster.client import ShoalClient  # noqa: PLC0415

    if not settings.url:
        with console.phases() as on_phase:
            daemon.find_or_start(settings, on_phase)
    token = settings.token.get_secret_value()
    return ShoalClient(settings.url, token=token, root=settings.root)


def _print_json(document: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()
