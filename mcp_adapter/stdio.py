"""MCP over stdio: the process that a host starts, as light as it can be while nobody asks.

It holds no model and no Ray: the gateway does the work, and is found or started by the first tool
that needs it. Until then not even the MCP SDK is imported; see `mcp_adapter.doorman`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mcp_adapter.doorman import Doorman

if TYPE_CHECKING:
    from cluster.settings import Settings

_COMPATIBILITY = "SHOAL_MCP_COMPATIBILITY"
"""Where it is set to anything, the settings decide, which takes their import to learn."""


def run(settings: Settings | None = None) -> None:
    """Serve one host until it closes our stdin or ends us.

    Args:
        settings: Which gateway to use; None reads the environment, once it is needed.
    """
    lines, answers = _claim_stdio()

    def say(answer: bytes) -> None:
        answers.write(answer)
        answers.flush()

    for wish in (signal.SIGTERM, signal.SIGINT):
        # By the kernel, at once: a handler of ours would wait until the read of stdin returns that
        # began in the moment between the signal and the handler.
        signal.signal(wish, signal.SIG_DFL)
    with contextlib.suppress(BrokenPipeError):
        session = _doorman(settings).attend(lines, say)
        if session.pending:
            from mcp_adapter.conversation import converse  # noqa: PLC0415 - the SDK comes with it

            converse(session, lines, answers, settings)


def _claim_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Take both pipes for the protocol: whoever else prints writes to stderr, and reads nothing."""
    lines = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # no stderr
        os.dup2(nothing, 1)
    os.close(nothing)
    sys.stdout = sys.stderr
    return lines, answers


def _doorman(settings: Settings | None) -> Doorman:
    """Return who answers the start; what more tools there may be is left to the SDK to tell."""
    if os.environ.get(_COMPATIBILITY) if settings is None else settings.mcp_compatibility:
        return Doorman([])
    record = Path(__file__).with_name("handshake.json")
    return Doorman(json.loads(record.read_text("utf-8")))
