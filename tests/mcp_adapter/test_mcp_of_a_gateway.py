"""A real gateway's `/mcp`: tools do what they say, and nobody pays for it before it is asked."""

import asyncio

import httpx2
import psutil
import pytest
from host import environment, sdk_host
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from own_gateway import own_gateway
from tcp_gateway import tcp_gateway

from cluster import daemon
from cluster.client import AsyncShoalClient

BOUND_S = 60.0


def browser(settings):
    """Return an HTTP client of a gateway's private socket, with its token."""
    endpoint = daemon.find(settings).endpoint
    return httpx2.AsyncClient(
        transport=httpx2.AsyncHTTPTransport(uds=endpoint.socket),
        base_url="http://localhost",
        headers=endpoint.headers,
        timeout=BOUND_S,
    )


def host(http, path, mode):
    return Client(streamable_http_client(f"http://localhost{path}", http_client=http), mode=mode)


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_folder_is_indexed_followed_and_searched(gateway, folder, path, mode):
    name = f"http-{mode}-{len(path)}"
    async with browser(gateway) as http, host(http, path, mode) as agent:
        listed = (await agent.list_tools()).tools
        asked = {"path": str(folder), "collection": name}
        job = (await agent.call_tool("index_path", asked)).structured_content["job_id"]
        async with AsyncShoalClient(root=gateway.root) as shoal:
            await shoal.wait(await shoal.job(job))
        followed = await agent.call_tool("job_status", {"job_id": job})
        found = await agent.call_tool("search", {"query": "evict", "collections": [name]})

    assert {"search", "index_path", "job_status", "cluster_status"} <= {t.name for t in listed}
    assert followed.structured_content["jobs"][0]["state"] == "done"
    assert found.structured_content["hits"][0]["path"] == "src/cache.py"


async def test_what_the_tools_ask_is_counted_as_what_it_is(gateway):
    async with browser(gateway) as http, host(http, "/mcp", "auto") as agent:
        await agent.call_tool("list_collections", {})
        told = (await http.get("/metrics")).text

    assert 'route="/mcp"' in told
    assert 'route="/v1/collections"' in told


async def test_a_refused_call_says_what_to_do(gateway):
    async with browser(gateway) as http, host(http, "/mcp", "auto") as agent:
        refused = await agent.call_tool("search", {"query": "x", "collections": ["nowhere"]})

    assert refused.is_error
    assert "list_collections" in refused.content[0].text


async def test_who_asks_too_often_is_told_when_to_come_back(tmp_path):
    token = "a-token-of-the-test"
    own = {"SHOAL_TOKEN": token, "SHOAL_RATE_LIMIT": "0.1"}  # one, and the next in ten seconds
    with tcp_gateway(tmp_path / "root", tmp_path / "log", **own) as url:
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=BOUND_S) as http:
            answers = [await http.get("/v1/collections") for _ in range(2)]
            over_mcp = await http.post("/mcp/stateless", json={})
        env = environment(tmp_path, SHOAL_URL=url, SHOAL_TOKEN=token)
        async with sdk_host(env) as agent:
            refused = await agent.call_tool("list_collections", {})

    assert [answer.status_code for answer in (*answers, over_mcp)] == [200, 429, 429]
    assert 1 <= int(answers[1].headers["retry-after"]) <= 10
    assert refused.is_error
    assert "ask less often" in refused.content[0].text
    assert "Try again in" in refused.content[0].text


def test_the_first_request_brings_the_sdk_and_an_open_ear_keeps_no_gateway(tmp_path):
    """Memory is measured before and after; then the gateway ends over a session that listens."""
    with own_gateway(tmp_path / "root", SHOAL_IDLE_SHUTDOWN_S="3") as shoal:
        shoal.status()
        process = psutil.Process(daemon.find(shoal.settings).pid)
        before = process.memory_info().rss
        after = asyncio.run(_listen_until_it_ends(shoal.settings, process))
        assert process.wait(BOUND_S) in (0, None)

    assert before < after < before + (120 << 20)


async def _listen_until_it_ends(settings, process):
    accept = {"accept": "application/json, text/event-stream"}
    about = {"capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    params = {"protocolVersion": "2025-11-25", **about}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    async with browser(settings) as http:
        opened = await http.post("/mcp", json=hello, headers=accept)
        after = process.memory_info().rss
        session = {**accept, "mcp-session-id": opened.headers["mcp-session-id"]}
        async with http.stream("GET", "/mcp", headers=session) as ear:
            assert ear.status_code == 200
            async for _ in ear.aiter_bytes():
                pass
    return after
