"""The rest of a session over stdio, after the doorman: everything that takes the SDK."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import sys
from collections.abc import Iterable
from typing import BinaryIO

import anyio
from mcp.server.stdio import stdio_server
from pydantic import ValidationError

from actors.errors import InvalidRequest
from cluster.client import AsyncShoalClient
from cluster.settings import Settings
from mcp_adapter.doorman import Session
from mcp_adapter.locating import on_the_gateway, on_this_machine
from mcp_adapter.progress import Phases
from mcp_adapter.refusals import complaints
from mcp_adapter.server import build_server

_log = logging.getLogger("shoal.mcp")


def converse(
    session: Session, lines: BinaryIO, answers: BinaryIO, settings: Settings | None
) -> None:
    """Serve until the input ends; does not return.

    Args:
        session: What the doorman left behind.
        lines: The rest of the input.
        answers: Where answers go.
        settings: Which gateway to use; None reads the environment.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    heard = io.BufferedReader(_Resumed([*session.told, session.pending], lines))
    said = _OnceOnly(answers, session)
    try:
        settings = settings or Settings()
    except ValidationError as error:
        sys.exit(f"shoal mcp: a setting SHOAL_… is wrong: {complaints(error)}")
    except InvalidRequest as error:
        sys.exit(f"shoal mcp: {error}")
    asyncio.run(_serve(settings, heard, said))


async def _serve(settings: Settings, heard: BinaryIO, said: _OnceOnly) -> None:
    phases = Phases()
    client = AsyncShoalClient(
        settings.url or None,
        token=settings.token.get_secret_value() or None,
        root=settings.root,
        on_phase=phases,
    )
    locate = on_the_gateway if settings.url else on_this_machine
    server = build_server(
        client, phases=phases, locate=locate, compatibility=settings.mcp_compatibility
    )
    stdin = anyio.wrap_file(io.TextIOWrapper(heard, encoding="utf-8", errors="replace"))
    try:
        async with stdio_server(stdin, anyio.wrap_file(said)) as streams:
            await server.converse(*streams)
    except* BrokenPipeError:
        _log.info("the host is gone")
    os._exit(0)  # a thread may still wait for a gateway to start, for nobody


class _Resumed(io.RawIOBase):
    """What was read already, and then the rest."""

    def __init__(self, read: Iterable[bytes], rest: BinaryIO) -> None:
        self._read = b"".join(read)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        size = len(into)
        part = self._read[:size] or self._rest.read1(size)  # type: ignore[attr-defined]
        self._read = self._read[size:]
        into[: len(part)] = part
        return len(part)


class _OnceOnly(io.TextIOWrapper):
    """Drops the SDK's answer to the request that the doorman answered."""

    def __init__(self, answers: BinaryIO, session: Session) -> None:
        super().__init__(answers, encoding="utf-8", newline="\n")
        self._answered = session.answered

    def write(self, line: str, /) -> int:
        if self._answered is not None and _answers(line, self._answered):
            self._answered = None
            return len(line)
        return super().write(line)


def _answers(line: str, request: str | int) -> bool:
    message = json.loads(line)
    return "method" not in message and message.get("id") == request
