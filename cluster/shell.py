"""What every command of `shoal` shares: its settings, its client, its JSON."""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from actors.errors import InvalidRequest
from cluster.configuration import CONFIG_VARIABLE, PREFIX, parse_flag
from cluster.settings import SECRETS, Settings, origins

if TYPE_CHECKING:
    from cluster.client import ShoalClient

_EVERYWHERE = {
    "root": Annotated[str | None, typer.Option(help="Folder or object-store URI of collections.")],
    "url": Annotated[str | None, typer.Option(help="A gateway's URL, in place of this machine's.")],
    "config": Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="Settings, as TOML.")
    ],
    "chosen": Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting; see `shoal config`."),
    ],
    "debug": Annotated[bool, typer.Option(help="Log more, and show tracebacks.")],
}
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
FLAGS: ContextVar[frozenset[str]] = ContextVar("flags", default=frozenset())
"""The settings that the flags of this command gave."""


def with_settings(run: Callable[..., None]) -> Callable[..., None]:
    """Give a command --root, --url, --config, --set and --debug.

    What they say becomes its first argument, the settings.
    """

    @wraps(run)
    def command(
        *args: Any,  # noqa: ANN401 - whatever the command takes
        root: str | None,
        url: str | None,
        config: str | None,
        chosen: list[str] | None,
        debug: bool,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
        logging.getLogger("shoal").setLevel(logging.DEBUG if debug else logging.WARNING)
        if config is not None:  # for the processes that this one starts, too
            os.environ[CONFIG_VARIABLE] = os.path.abspath(os.path.expanduser(config))
        run(_settings(_given(root, url, chosen or ())), *args, **kwargs)

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


def _given(root: str | None, url: str | None, chosen: Sequence[str]) -> dict[str, str]:
    """Return what flags set; those of a setting's own are stronger than --set."""
    own = {"root": root, "url": url}
    return {
        **dict(parse_flag(each, Settings.model_fields, SECRETS) for each in chosen),
        **{name: value for name, value in own.items() if value is not None},
    }


def _settings(given: dict[str, str]) -> Settings:
    """Return the settings; InvalidRequest names the one that is wrong, and where it was set."""
    FLAGS.set(frozenset(given))
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(map(str, first["loc"]))
        where = f"{_place(name, given)} is {first['input']!r}: " if name else ""  # else all of them
        message = f"{where}{first['msg'].removeprefix('Value error, ')}; see `shoal config`"
        raise InvalidRequest(message) from error


def _place(name: str, given: dict[str, str]) -> str:
    """Return a setting as it is called where it was set."""
    origin = origins(frozenset(given))[name]
    if origin == "flag":
        return f"--{name}" if name in {"root", "url"} else f"--set {name}"
    return f"{PREFIX}{name.upper()}" if origin == "environment" else f"{name} ({origin})"


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
