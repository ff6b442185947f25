"""Answers the start of an MCP session before the MCP SDK is imported.

Hosts start every server they know at the beginning of every session, and most are never called.
Importing the SDK takes most of a second and 60 MB; what a host asks at the start has one answer
each, recorded from our own server by `mcp_adapter.handshake`. So the doorman gives these answers,
and at the first line that needs more than that (a tool call, above all) it steps aside: what it
answered so far is told to the SDK again, whose own answers to that are then dropped.

It knows no more of the protocol than it must: a line that is not exactly what it expects is left
to the SDK, which alone decides what is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

_META = "io.modelcontextprotocol/"
_VERSION, _CAPABILITIES, _CLIENT = (
    _META + name for name in ("protocolVersion", "clientCapabilities", "clientInfo")
)

Message = dict[str, Any]


@dataclass(slots=True)
class Session:
    """What a doorman leaves behind.

    Attributes:
        told: Lines that it answered and the SDK has to hear, the request that opened the session
            first.
        answered: The id of that request, whose answer the client has; None before there is one.
        pending: The line that it left to the SDK; empty at the end of the input.
    """

    told: list[bytes] = field(default_factory=list)
    answered: str | int | None = None
    pending: bytes = b""


class Doorman:
    """Answers what has one answer.

    Args:
        recorded: As `mcp_adapter.handshake.record` returned it: for each era of the protocol its
            `versions`, and its `answers` by method.
    """

    def __init__(self, recorded: list[Message]) -> None:
        self._recorded = recorded
        self._era: Message | None = None
        self._session = Session()

    def attend(self, lines: Iterable[bytes], write: Callable[[bytes], object]) -> Session:
        """Answer lines until one needs the SDK or the input ends."""
        for line in lines:
            answer = self._answer(line)
            if answer is None:
                self._session.pending = line
                break
            if answer:
                write(answer)
        return self._session

    def _answer(self, line: bytes) -> bytes | None:
        """Return the line to write (empty for none), or None where the SDK has to answer."""
        message = _message(line)
        if message is None:
            return None
        if "id" not in message:
            return self._hear(message, line)
        result = self._result(message)
        if result is None:
            return None
        if self._session.answered is None:
            self._session.answered = message["id"]
            self._session.told.append(line)
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        return json.dumps(answer, separators=(",", ":")).encode() + b"\n"

    def _hear(self, message: Message, line: bytes) -> bytes | None:
        """Take the one notification that belongs to the start."""
        if message["method"] != "notifications/initialized" or self._session.answered is None:
            return None
        if len(self._session.told) == 1:
            self._session.told.append(line)
        return b""

    def _result(self, message: Message) -> Message | None:
        params = message.get("params", {})
        if not isinstance(params, dict):
            return None
        if message["method"] == "initialize":
            return self._initialize(params)
        meta = params.get("_meta", {})
        if not isinstance(meta, dict) or len(params) > ("_meta" in params):
            return None
        era = self._of_envelope(meta) if _VERSION in meta else self._of_handshake()
        return None if era is None else era["answers"].get(message["method"])

    def _initialize(self, params: Message) -> Message | None:
        """Open a session of the era that has a handshake."""
        version = params.get("protocolVersion")
        era = self._era_of(version)
        well = isinstance(params.get("capabilities"), dict) and _is_client(params.get("clientInfo"))
        if not well or self._era or era is None or "initialize" not in era["answers"]:
            return None
        self._era = era
        return {**era["answers"]["initialize"], "protocolVersion": version}

    def _of_handshake(self) -> Message | None:
        return self._era if self._era and "initialize" in self._era["answers"] else None

    def _of_envelope(self, meta: Message) -> Message | None:
        """Return the era in which every request says who asks, if this one says it well."""
        era = self._era_of(meta[_VERSION])
        well = isinstance(meta.get(_CAPABILITIES), dict) and _is_client(meta.get(_CLIENT))
        if not well or era is None or "initialize" in era["answers"]:
            return None
        if self._era not in (None, era):
            return None
        self._era = era
        return era

    def _era_of(self, version: object) -> Message | None:
        return next((era for era in self._recorded if version in era["versions"]), None)


def _message(line: bytes) -> Message | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return None
    fits = isinstance(message.get("method"), str) and type(message.get("id", "")) in (str, int)
    return message if fits else None


def _is_client(info: object) -> bool:
    return isinstance(info, dict) and all(
        isinstance(info.get(key), str) for key in ("name", "version")
    )
