"""What the doorman answers is what the server would; the rest it leaves to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcp_adapter.doorman import Doorman, Session
from mcp_adapter.handshake import RECORD, record

RECORDED = json.loads(RECORD.read_text("utf-8"))
META = "io.modelcontextprotocol/"
CLIENT = {"name": "host", "version": "1"}
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": CLIENT}
ENVELOPE = {
    "_meta": {
        META + "protocolVersion": "2026-07-28",
        META + "clientCapabilities": {},
        META + "clientInfo": CLIENT,
    }
}
READY = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'


def request(method: str, number: object = 1, **params: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": number, "method": method}
    return json.dumps({**message, "params": params} if params else message).encode() + b"\n"


def attended(*lines: bytes) -> tuple[list[dict[str, Any]], Session]:
    said: list[bytes] = []
    session = Doorman(RECORDED).attend(lines, said.append)
    return [json.loads(line) for line in said], session


async def test_the_record_is_what_the_server_answers_today():
    assert await record() == RECORDED, "run: python -m mcp_adapter.handshake"


def test_a_session_starts_with_the_version_that_the_host_asked_for():
    said, _ = attended(request("initialize", "a", **HELLO))

    assert said[0]["id"] == "a"
    assert said[0]["result"]["protocolVersion"] == "2025-06-18"
    assert said[0]["result"]["serverInfo"]["name"] == "shoal"


def test_what_a_host_asks_at_the_start_is_answered():
    lists = ("tools/list", "prompts/list", "resources/list", "ping")
    said, session = attended(request("initialize", 0, **HELLO), READY, *map(request, lists))

    assert len(said) == 5
    assert said[1]["result"]["tools"][0]["name"] == "search"
    assert session.pending == b""


def test_the_stateless_protocol_is_answered_too():
    asked = [request("server/discover", 1, **ENVELOPE), request("tools/list", 2, **ENVELOPE)]
    said, session = attended(*asked)

    assert said[0]["result"]["supportedVersions"] == ["2026-07-28"]
    assert said[1]["result"]["tools"][0]["name"] == "search"
    assert session.told == asked[:1]


def test_the_sdk_hears_what_opened_the_session_and_answers_the_rest():
    hello, call = request("initialize", 0, **HELLO), request("tools/call", 2, name="search")
    _, session = attended(hello, READY, request("tools/list", 1), call, request("ping", 3))

    assert session == Session(told=[hello, READY], answered=0, pending=call)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"\xff\n",
        b"\n",
        b"[" * 100_000,
        b"[]\n",
        b'{"id":1,"method":"ping"}\n',
        b'{"jsonrpc":"2.0","id":1,"result":{}}\n',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled"}\n',
        READY,
        request("tools/list"),
        request("ping"),
        request("ping", None),
        request("ping", True),
        request("ping", 1.5),
        request("tools/list", 1, cursor="x", **ENVELOPE),
        request("initialize", 1, **{**HELLO, "protocolVersion": "2026-07-28"}),
        request("initialize", 1, **{**HELLO, "protocolVersion": ["2025-06-18"]}),
        request("initialize", 1, **{**HELLO, "clientInfo": {"name": "host"}}),
        request("initialize", 1, **{**HELLO, "capabilities": None}),
        request("tools/list", 1, _meta={META + "protocolVersion": "2026-07-28"}),
        request("tools/list", 1, _meta={**ENVELOPE["_meta"], META + "protocolVersion": "2999"}),
    ],
)
def test_a_first_line_that_is_not_expected_is_left_to_the_sdk(line):
    assert attended(line) == ([], Session(pending=line))


@pytest.mark.parametrize(
    "line",
    [
        request("initialize", 1, **HELLO),
        request("tools/list", 1, cursor="x"),
        request("tools/list", 1, **ENVELOPE),
        request("resources/read", 1, uri="x"),
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}\n',
    ],
)
def test_a_later_line_that_is_not_expected_is_left_to_the_sdk(line):
    said, session = attended(request("initialize", 0, **HELLO), line)

    assert len(said) == 1
    assert session.pending == line


def test_a_handshake_within_the_stateless_protocol_is_left_to_the_sdk():
    said, session = attended(
        request("tools/list", 1, **ENVELOPE), request("initialize", 2, **HELLO)
    )

    assert len(said) == 1
    assert json.loads(session.pending)["method"] == "initialize"


def test_the_end_of_the_input_leaves_nothing_to_do():
    assert attended() == ([], Session())
