"""Who could read a secret or reach what only its owner should: of files, addresses, settings."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from actors.errors import ShoalError
from cluster.configuration import config_file, misspelt, read_file
from cluster.daemon import Endpoint, Rooms
from cluster.judging import found
from cluster.settings import SECRETS, Settings
from cluster.upkeep_protocol import Check

_LOOPBACK = ("127.0.0.1", "::1", "localhost", "shoal")
"""The last is what stands for a Unix socket."""
_SHORT_SECRET = 16


def of_settings(settings: Settings, where: str) -> Iterator[Check]:
    """Judge what a client's settings say, and who else can read its secrets."""
    for variable, meant in misspelt(os.environ, Settings.model_fields).items():
        what = f"{variable} is set, and is not a setting"
        yield found("settings", where, "warning", what, f"did you mean {meant}?")
    file = config_file()
    if file:
        yield found("settings", where, "ok", f"settings are read from {file}")
    if file and set(read_file(Settings.model_fields)) & set(SECRETS):
        yield from of_file(file, where, "the settings file with a token in it")
    if settings.url:
        yield from _of_url(settings, where)
    else:
        yield from _of_rooms(settings, where)


def of_file(path: Path, where: str, what: str) -> Iterator[Check]:
    """Judge whether others can read a file or enter a folder; nothing where it is not there."""
    with suppress(OSError):
        mode = path.stat().st_mode
        if os.name != "posix":  # there, modes tell nothing
            return
        told = f"{what}, {path}, has mode {stat.S_IMODE(mode):04o}"
        way_out = f"chmod {'700' if stat.S_ISDIR(mode) else '600'} {path}, and take a new token"
        yield found("auth", where, "error" if mode & 0o077 else "ok", told, way_out)


def of_ray_token(where: str) -> Iterator[Check]:
    """Judge who can read Ray's token, where it lies in a file and is asked for."""
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    yield from of_file(path, where, "the file with Ray's token")


def of_listening(endpoint: Endpoint, settings: Settings, where: str) -> Check:
    """Judge who can come to a gateway, and with what."""
    if endpoint.socket:
        return found(
            "auth", where, "ok", "it listens on a Unix socket that its user alone can enter"
        )
    host = urlsplit(endpoint.url).hostname or ""
    if host in _LOOPBACK:
        return found("auth", where, "ok", f"it listens at {host}, for this machine, with a token")
    if len(settings.token.get_secret_value() or endpoint.token) < _SHORT_SECRET:
        what = f"it listens at {host}, and its token has fewer than {_SHORT_SECRET} characters"
        return found("auth", where, "error", what, "take SHOAL_TOKEN=$(openssl rand -hex 32)")
    what = f"it listens at {host} with a token, without TLS of its own"
    way_out = "put TLS in front where others share the network (an Ingress, a reverse proxy)"
    return found("auth", where, "note", what, way_out)


def of_ray(has_tokens: bool, where: str) -> Check:
    """Judge whether Ray asks those who come for a token."""
    if has_tokens:
        return found("auth", where, "ok", "Ray asks for a token")
    what = "Ray asks nobody for a token: who reaches its ports runs code as its user"
    way_out = "start Ray everywhere with RAY_AUTH_MODE=token and one RAY_AUTH_TOKEN, or wall it off"
    return found("auth", where, "warning", what, way_out)


def _of_url(settings: Settings, where: str) -> Iterator[Check]:
    parts = urlsplit(settings.url)
    if not settings.token.get_secret_value():
        way_out = "set SHOAL_TOKEN to a token of that gateway"
        yield found("auth", where, "error", f"there is no token for {settings.url}", way_out)
    elif parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        what = f"the token goes to {settings.url} in clear text"
        yield found("auth", where, "warning", what, "take https://, through a proxy that has TLS")


def _of_rooms(settings: Settings, where: str) -> Iterator[Check]:
    try:
        rooms = Rooms(settings)
    except ShoalError as error:
        yield found("auth", where, "error", str(error), "then start the gateway again")
        return
    yield from of_file(rooms.folder, where, "the gateway's private folder")
    yield from of_file(rooms.state, where, "the file with the gateway's token")
