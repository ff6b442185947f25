"""What every command of `shoal` shares: its settings, its client, its JSON."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from actors.errors import InvalidRequest
from cluster.settings import Settings

if TYPE_CHECKING:
    from cluster.client import ShoalClient

_EVERYWHERE = {
    "root": Annotated[str | None, typer.Option(help="Folder or object-store URI of collections.")],
    "url": Annotated[str | None, typer.Option(help="A gateway's URL, in place of this machine's.")],
    "debug": Annotated[bool, typer.Option(help="Log more, and show tracebacks.")],
}
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


def with_settings(run: Callable[..., None]) -> Callable[..., None]:
    """Give a command --root, --url and --debug, which become its first argument, the settings."""

    @wraps(run)
    def command(
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
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
    return command


def _settings(given: dict[str, str]) -> Settings:
    """Return the settings; InvalidRequest names the variable that is wrong."""
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(map(str, first["loc"])).upper()
        where = f"SHOAL_{name} is {first['input']!r}: " if name else ""  # else it is all of them
        message = f"{where}{first['msg'].removeprefix('Value error, ')}; see `shoal config`"
        raise InvalidRequest(message) from error


def client(settings: Settings) -> ShoalClient:
    """Return a client of the gateway that the settings name, started with progress if absent."""
    from cluster import console, daemon  # noqa: PLC0415
    from cluster.client import ShoalClient  # noqa: PLC0415

    if not settings.url:
        with console.phases() as on_phase:
            daemon.find_or_start(settings, on_phase)
    token = settings.token.get_secret_value()
    return ShoalClient(settings.url, token=token, root=settings.root)


def print_json(document: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    """Write one JSON document and nothing else to stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()
