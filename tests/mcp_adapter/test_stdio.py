"""The stdio server as a host sees it: a process, two pipes, and no gateway unless it is needed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import psutil
import pytest
from host import COMMAND, Pipes, environment, gateway_was_started, pipes, sdk_host
from stub_gateway import StubGateway, stub_gateway
from waiting import BOUND_S, eventually

TOOLS = [
    "search",
    "find_similar",
    "read_chunk",
    "find_symbol",
    "index_path",
    "job_status",
    "cancel_job",
    "delete_collection",
    "list_collections",
    "cluster_status",
]
NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tools_are_listed_while_no_gateway_runs_and_none_is_started(tmp_path, mode):
    async with sdk_host(environment(tmp_path), mode) as host:
        listed = (await host.list_tools()).tools

    assert [tool.name for tool in listed] == TOOLS
    assert not gateway_was_started(environment(tmp_path))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_search_after_the_handshake_is_answered(tmp_path, mode):
    async with (
        stub_gateway(StubGateway()) as url,
        sdk_host(environment(tmp_path, SHOAL_URL=url), mode) as host,
    ):
        await host.list_tools()
        found = await host.call_tool("search", {"query": "admit"})

    assert found.structured_content["hits"][0]["path"] == "actors/router.py"


async def test_every_line_on_stdout_is_json_rpc_even_where_code_prints(tmp_path):
    noisy = "import os, mcp_adapter.stdio as s, mcp_adapter.doorman as d\n"
    noisy += "answer = d.Doorman._answer\n"
    noisy += "def chatty(self, line): print('x'); os.write(1, b'y'); return answer(self, line)\n"
    noisy += "d.Doorman._answer = chatty\n"
    noisy += "s.run()"
    async with pipes(
        environment(tmp_path, SHOAL_URL=NOBODY), sys.executable, "-c", noisy
    ) as server:
        await server.shake_hands()
        await server.ask("tools/list", 1)
        await server.ask("tools/call", 2, name="list_collections", arguments={})

    assert [json.loads(line)["jsonrpc"] for line in server.heard] == ["2.0"] * 3


async def test_an_unreachable_gateway_is_an_error_that_says_what_to_do(tmp_path):
    async with sdk_host(environment(tmp_path, SHOAL_URL=NOBODY)) as host:
        refused = await host.call_tool("search", {"query": "x"})

    assert refused.is_error
    assert "check the URL" in refused.content[0].text


async def test_unknown_tools_and_arguments_are_refused_without_a_gateway(tmp_path):
    async with sdk_host(environment(tmp_path)) as host:
        no_tool = await host.call_tool("find", {"query": "x"})
        no_argument = await host.call_tool("search", {"query": "x", "k": 3})

    assert "There is no tool 'find'. Tools: search, find_similar" in no_tool.content[0].text
    assert "search has no argument 'k'" in no_argument.content[0].text
    assert not gateway_was_started(environment(tmp_path))


async def test_a_call_straight_after_the_start_without_listing_is_answered(tmp_path):
    async with pipes(environment(tmp_path)) as server:
        await server.shake_hands("2024-11-05")
        answer = await server.ask("tools/call", 1, name="find", arguments={})

    assert answer["result"]["isError"]
    assert len(server.heard) == 2


async def test_requests_that_come_in_one_burst_are_all_answered_once(tmp_path):
    async with pipes(environment(tmp_path)) as server:
        server.send(_hello("2025-06-18"))
        server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        for number, method in enumerate(("tools/list", "logging/setLevel", "ping"), 1):
            server.send({"jsonrpc": "2.0", "id": number, "method": method})
        answers = [await server.answer() for _ in range(4)]

    assert sorted(answer["id"] for answer in answers) == [0, 1, 2, 3]


async def test_a_version_nobody_knows_is_negotiated_down(tmp_path):
    async with pipes(environment(tmp_path)) as server:
        about = await server.shake_hands("1999-01-01")
        listed = await server.ask("tools/list", 1)

    assert about["protocolVersion"] == "2025-11-25"
    assert [tool["name"] for tool in listed["result"]["tools"]] == TOOLS


async def test_a_line_that_is_not_json_does_not_end_the_session(tmp_path):
    async with pipes(environment(tmp_path)) as server:
        await server.shake_hands()
        server.send(b"{nonsense")
        listed = await server.ask("tools/list", 1)

    assert len(listed["result"]["tools"]) == len(TOOLS)


async def test_half_a_character_is_answered_and_does_not_end_the_session(tmp_path):
    async with pipes(environment(tmp_path, SHOAL_URL=NOBODY)) as server:
        await server.shake_hands()
        half = b'{"name":"search","arguments":{"query":"\\ud800"}}'
        server.send(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + half + b"}")
        answer = await server.ask("tools/call", 2, name="find", arguments={})

    assert "There is no tool 'find'" in answer["result"]["content"][0]["text"]
    assert not any(b"Traceback" in line for line in server.heard)


async def test_a_call_that_its_host_cancels_is_withdrawn_from_the_gateway(tmp_path):
    gateway = StubGateway()
    gateway.hold_searches_until = "never"
    async with (
        stub_gateway(gateway) as url,
        pipes(environment(tmp_path, SHOAL_URL=url)) as server,
    ):
        await server.shake_hands()
        wanted = {"name": "search", "arguments": {"query": "x"}}
        server.send({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": wanted})
        await eventually(lambda: "search" in gateway.asked)
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        server.send({"jsonrpc": "2.0", **cancelled})
        await asyncio.wait_for(gateway.left.wait(), BOUND_S)


@pytest.mark.parametrize("talked", ["not at all", "of the start", "of a tool"])
async def test_the_end_of_stdin_ends_the_server(tmp_path, talked):
    async with pipes(environment(tmp_path)) as server:
        await _talk(server, talked)
        server.process.stdin.close()
        status = await server.ended()
        said = await server.process.stderr.read()

    assert status == 0
    assert b"Traceback" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a signal")
@pytest.mark.parametrize("talked", ["of the start", "of a tool"])
async def test_a_signal_ends_the_server_while_its_host_still_listens(tmp_path, talked):
    async with pipes(environment(tmp_path)) as server:
        await _talk(server, talked)
        server.process.send_signal(signal.SIGTERM)
        status = await server.ended()
        said = await server.process.stderr.read()

    assert status == -signal.SIGTERM
    assert said == b""


async def test_the_start_of_a_session_imports_no_sdk(tmp_path):
    ask = "import sys, atexit; from mcp_adapter.stdio import run\n"
    ask += "atexit.register(lambda: sys.stderr.write(' '.join(sys.modules)))\n"
    async with pipes(environment(tmp_path), *COMMAND[:-1], ask + "run()") as server:
        await server.shake_hands()
        await server.ask("tools/list", 1)
        server.process.stdin.close()
        await server.ended()
        imported = (await server.process.stderr.read()).decode().split()

    assert "mcp_adapter.doorman" in imported
    assert not {"mcp", "pydantic", "asyncio", "ray", "numpy"} & set(imported)


async def test_a_session_takes_less_memory_than_its_limit(tmp_path):
    async with (
        stub_gateway(StubGateway()) as url,
        pipes(environment(tmp_path, SHOAL_URL=url)) as server,
    ):
        await server.shake_hands()
        await server.ask("tools/list", 1)
        idle = _rss_mib(server)
        for number in range(100):
            arguments = {"query": f"question {number}"}
            await server.ask("tools/call", number + 2, name="search", arguments=arguments)
        busy = _rss_mib(server)

    assert idle <= 30
    assert busy <= 90


def _hello(version: str) -> dict[str, object]:
    client = {"name": "host", "version": "1"}
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


async def _talk(server: Pipes, about: str) -> None:
    if about != "not at all":
        await server.shake_hands()
    if about == "of a tool":
        await server.ask("tools/call", 1, name="search", arguments={})


def _rss_mib(server: Pipes) -> float:
    return psutil.Process(server.process.pid).memory_info().rss / (1 << 20)
