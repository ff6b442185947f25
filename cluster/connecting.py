"""Getting MCP clients to start our server: what each keeps of it, where, and how that is edited.

A client's file belongs to its user. An edit is made in its text, so that comments and layout stay;
then the text is read again, and where it says anything but what it said before and our entry, the
file is left as it is and the user is told what to write there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.errors import InvalidRequest
from cluster import connecting_json, connecting_toml
from cluster.connecting_files import Edit, bytes_of, text_of

SERVER = "shoal"
"""The name of our server in every client."""
Scope = Literal["user", "project"]
Entry = dict[str, Any]
_Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """An MCP client.

    Attributes:
        title: Its name, for people.
        servers: The table of its file that holds servers.
        user: The file that holds for all of a user's projects, from the home folder.
        project: The file that holds for one project, from the project's folder.
        typed: Whether an entry says how the server is spoken to.
        next_step: What is to be done then.
    """

    title: str
    servers: str
    user: Callable[[Path, Mapping[str, str]], Path]
    project: str
    typed: bool
    next_step: str

    def file(self, scope: Scope) -> Path:
        """Return the file of a scope; that of a project lies below the current folder."""
        if scope == "project":
            return Path.cwd() / self.project
        return self.user(Path.home(), os.environ)

    def entry(self, command: str, env: Mapping[str, str]) -> Entry:
        """Return what the client is to know of our server."""
        kind = {"type": "stdio"} if self.typed else {}
        return {**kind, "command": command, "args": ["mcp"], **({"env": dict(env)} if env else {})}


def _of_vscode(home: Path, environment: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        folder = Path(environment.get("APPDATA") or home / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return folder / "Code" / "User" / "mcp.json"


CLIENTS: dict[str, Client] = {
    "claude-code": Client(
        title="Claude Code",
        servers="mcpServers",
        user=lambda home, env: Path(env.get("CLAUDE_CONFIG_DIR") or home) / ".claude.json",
        project=".mcp.json",
        typed=True,
        next_step="start a new session; /mcp in it lists shoal",
    ),
    "cursor": Client(
        title="Cursor",
        servers="mcpServers",
        user=lambda home, _env: home / ".cursor" / "mcp.json",
        project=".cursor/mcp.json",
        typed=True,
        next_step="restart Cursor, and see that shoal is switched on among its MCP servers",
    ),
    "vscode": Client(
        title="VS Code",
        servers="servers",
        user=_of_vscode,
        project=".vscode/mcp.json",
        typed=True,
        next_step="run 'MCP: List Servers' from the command palette, and start shoal there",
    ),
    "codex": Client(
        title="Codex",
        servers="mcp_servers",
        user=lambda home, env: Path(env.get("CODEX_HOME") or home / ".codex") / "config.toml",
        project=".codex/config.toml",
        typed=False,
        next_step="start a new session; /mcp in it lists shoal",
    ),
}


def snippet(client: Client, scope: Scope, entry: Entry) -> str:
    """Return what a person would write into the client's file."""
    if _is_toml(client.file(scope)):
        return connecting_toml.written((client.servers, SERVER), entry)
    return connecting_json.written({client.servers: {SERVER: entry}})


def connected(client: Client, scope: Scope, entry: Entry) -> Edit:
    """Return the edit that makes a client start our server; what else our entry says stays.

    Raises:
        InvalidRequest: The file cannot be read, or not be edited without loss; the message has what
            to write into it.
    """
    file = client.file(scope)
    before = bytes_of(file)
    by_hand = f"write this into it yourself:\n\n{snippet(client, scope, entry)}"
    text, document = _read(file, before, by_hand)
    known = _entry_of(document, client, file)
    if known and "url" in known:
        message = (
            f"{file} has {SERVER} at {known['url']} already; keep it, or take it out with "
            "`shoal mcp uninstall` first"
        )
        raise InvalidRequest(message)
    wanted = _merged(known or {}, entry)
    if known == wanted:
        return Edit(file, before, before)
    expected = {
        **document,
        client.servers: {**document.get(client.servers, {}), SERVER: wanted},
    }
    after = _edited(
        lambda: _with_entry(file, text, client, known, wanted), file, (expected,), by_hand
    )
    return Edit.of_text(file, before, after)


def disconnected(client: Client, scope: Scope) -> Edit:
    """Return the edit that takes our server out of a client's file; a file left empty goes.

    Raises:
        InvalidRequest: The file cannot be read, or not be edited without loss.
    """
    file = client.file(scope)
    before = bytes_of(file)
    by_hand = f"take {SERVER} out of its {client.servers} yourself"
    text, document = _read(file, before, by_hand)
    if _entry_of(document, client, file) is None:
        return Edit(file, before, before)
    others = {name: value for name, value in document.items() if name != client.servers}
    servers = {n: value for n, value in document[client.servers].items() if n != SERVER}
    expected = ({**document, client.servers: servers}, *(() if servers else (others,)))
    edit = connecting_toml.without_table if _is_toml(file) else connecting_json.without_member
    after = _edited(lambda: edit(text, (client.servers, SERVER)), file, expected, by_hand)
    empty = "".join(after.split()) in ("", "{}")
    return Edit(file, before, None) if empty else Edit.of_text(file, before, after)


def _merged(known: Entry, entry: Entry) -> Entry:
    env = {**known.get("env", {}), **entry.get("env", {})}
    return {**known, **entry, **({"env": env} if env else {})}


def _with_entry(file: Path, text: str, client: Client, known: Entry | None, wanted: Entry) -> str:
    keys = (client.servers, SERVER)
    changed = {name: value for name, value in wanted.items() if (known or {}).get(name) != value}
    if _is_toml(file):
        return connecting_toml.with_table(text, keys, changed)
    if known is None:
        return connecting_json.with_member(text, keys, changed)
    for path, value in _values(known, changed):  # one by one, so that comments between them stay
        text = connecting_json.with_member(text, (*keys, *path), value)
    return text


def _values(known: Entry, changed: Entry) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in changed.items():
        if name == "env" and "env" in known:
            yield from (((name, variable), content) for variable, content in value.items())
        else:
            yield (name,), value


def _edited(
    edit: Callable[[], str], file: Path, expected: tuple[_Document, ...], by_hand: str
) -> str:
    """Return the edited text, if it means what it should."""
    try:
        after = edit()
        done = _parsed(file, after) in expected
    except ValueError:
        done = False
    if not done:
        message = f"{file} is laid out in a way that cannot be edited without loss; {by_hand}"
        raise InvalidRequest(message)
    return after


def _entry_of(document: _Document, client: Client, file: Path) -> Entry | None:
    """Return our entry, None where there is none."""
    servers = document.get(client.servers, {})
    entry = servers.get(SERVER, {}) if isinstance(servers, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("env", {}), dict):
        message = f"{client.servers} in {file} is not what {client.title} expects; mend it first"
        raise InvalidRequest(message)
    return entry if SERVER in servers else None


def _is_toml(file: Path) -> bool:
    return file.suffix == ".toml"


def _parsed(file: Path, text: str) -> _Document:
    return connecting_toml.read(text) if _is_toml(file) else connecting_json.read(text)


def _read(file: Path, content: bytes | None, by_hand: str) -> tuple[str, _Document]:
    try:
        text = text_of(content or b"")
        return text, _parsed(file, text)
    except (ValueError, RecursionError) as error:
        message = f"{file} is broken ({error}); mend it and run this again, or {by_hand}"
        raise InvalidRequest(message) from error
