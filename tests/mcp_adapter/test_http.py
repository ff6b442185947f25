"""MCP over Streamable HTTP: every way to be asked, through the gateway's own door."""

from __future__ import annotations

import asyncio
import json
import sys

import httpx2
import pytest
from canned import HELD, SEARCHING, TOKEN, CannedService, guard, served
from host import BOUND_S
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from stub_gateway import a_job
from waiting import eventually

from mcp_adapter.app import create_app
from mcp_adapter.handshake import RECORD
from mcp_adapter.rates import Rates

LEGACY, MODERN = "2025-11-25", "2026-07-28"
BOTH = {"accept": "application/json, text/event-stream"}


@pytest.fixture
async def service():
    return CannedService()


@pytest.fixture
async def app(service):
    return create_app(service, guard(), lambda: None)


@pytest.fixture
async def url(app):
    async with served(app) as url:
        yield url


@pytest.fixture
async def browser(url):
    """A caller that can say anything in its headers."""
    headers = {"authorization": f"Bearer {TOKEN}", "x-shoal-caller": "somebody", **BOTH}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=BOUND_S) as browser:
        yield browser


def client(browser, path="/mcp", **options):
    transport = streamable_http_client(str(browser.base_url.join(path)), http_client=browser)
    return Client(transport, **options)


def envelope(method, version=MODERN, **params):
    """Return a request of the era without handshakes, and its headers."""
    who = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = {"mcp-protocol-version": version, "mcp-method": method}
    if "name" in params:
        headers["mcp-name"] = params["name"]
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": who}}
    return {"json": body, "headers": headers}


def hello(version=LEGACY):
    about = {"capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    params = {"protocolVersion": version, **about}
    return {"json": {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}}


def a_search(query, request=1):
    params = {"name": "search", "arguments": {"query": query}}
    return {"jsonrpc": "2.0", "id": request, "method": "tools/call", "params": params}


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_tools_are_those_of_stdio_and_answer(browser, path, mode):
    recorded = json.loads(RECORD.read_text("utf-8"))
    async with client(browser, path, mode=mode) as host:
        listed = (await host.list_tools()).tools
        found = await host.call_tool("search", {"query": "admit"})

    known = next(iter(recorded))["answers"]["tools/list"]["tools"]
    assert [tool.name for tool in listed] == [tool["name"] for tool in known]
    assert found.structured_content["hits"][0]["path"] == "actors/router.py"


async def test_the_service_is_told_who_asks(browser, service):
    async with client(browser) as host:
        await host.call_tool("search", {"query": "admit"})

    assert service.callers == ["somebody"]


async def test_a_handshake_opens_a_session_that_can_be_ended(browser):
    opened = await browser.post("/mcp", **hello())
    session = {"mcp-session-id": opened.headers["mcp-session-id"]}
    searched = await browser.post("/mcp", json=a_search("x"), headers=session)
    await browser.delete("/mcp", headers=session)
    refused = await browser.post("/mcp", json=a_search("x"), headers=session)

    assert searched.headers["content-type"].startswith("text/event-stream")
    assert '"isError":false' in searched.text
    assert refused.status_code == 404


async def test_without_sessions_a_call_needs_no_handshake_and_none_is_opened(browser):
    opened = await browser.post("/mcp/stateless", **hello())
    searched = await browser.post("/mcp/stateless", json=a_search("x"))
    listening = await browser.get("/mcp/stateless")

    assert "mcp-session-id" not in opened.headers
    assert searched.headers["content-type"].startswith("text/event-stream")
    assert '"isError":false' in searched.text
    assert listening.status_code == 405


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
async def test_who_takes_no_event_streams_gets_one_json_document(browser, path):
    only = {"accept": "application/json"}
    opened = await browser.post(path, **hello(), headers=only)
    searched = await browser.post(path, json=a_search("x"), headers=only)

    assert "mcp-session-id" not in opened.headers
    assert searched.headers["content-type"] == "application/json"
    assert searched.json()["result"]["structuredContent"]["hits"]


async def test_the_era_without_handshakes_gets_json_where_there_is_nothing_to_stream(browser):
    searched = await browser.post(
        "/mcp", **envelope("tools/call", name="search", arguments={"query": "x"})
    )

    assert searched.headers["content-type"] == "application/json"
    assert searched.json()["result"]["structuredContent"]["hits"]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("accept", ["application/json", "application/json, text/event-stream"])
async def test_a_caller_that_leaves_ends_its_search(browser, service, path, mode, accept):
    if mode == "auto":
        asked = envelope("tools/call", name="search", arguments={"query": HELD})
    else:
        asked = {"json": a_search(HELD), "headers": {}}
        if path == "/mcp":
            opened = await browser.post(path, **hello())
            asked["headers"] = {"mcp-session-id": opened.headers["mcp-session-id"]}
    asked["headers"]["accept"] = accept
    asking = asyncio.create_task(browser.post(path, **asked))
    await asyncio.wait_for(service.held.wait(), BOUND_S)
    asking.cancel()

    await eventually(lambda: service.cancelled)


async def test_a_call_that_is_cancelled_in_its_session_ends_its_search(browser, service):
    async with client(browser, mode="legacy") as host:
        asking = asyncio.create_task(host.call_tool("search", {"query": HELD}))
        await asyncio.wait_for(service.held.wait(), BOUND_S)
        asking.cancel()
        await eventually(lambda: service.cancelled)
        found = await host.call_tool("search", {"query": "and now?"})

    assert "1 were cancelled" in found.content[0].text


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_waits_for_a_job_tells_how_far_it_is(browser, service, path, mode):
    looks, heard = iter((100, 200, 400)), []

    async def job(_job_id):
        done = next(looks)
        return a_job(files_done=done, state="done" if done == 400 else "running")

    async def hear(done, total, message):
        heard.append((done, total, message))

    service.indexing.job = job
    async with client(browser, path, mode=mode) as host:
        waiting = {"job_id": "0a1b2c3d4e5f", "wait_s": 30}
        ended = await host.call_tool("job_status", waiting, progress_callback=hear)

    assert heard == [(done, 400, "reading and embedding") for done in (100, 200)]
    assert ended.structured_content["jobs"][0]["state"] == "done"


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
@pytest.mark.parametrize("token", [None, "Bearer", "Bearer wrong", TOKEN + "x"])
async def test_nobody_passes_without_the_token(browser, path, token):
    browser.headers.pop("authorization")
    given = {} if token is None else {"authorization": token}
    for method in ("GET", "POST", "DELETE"):
        refused = await browser.request(method, path, headers=given)
        assert refused.status_code == 401, method


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
@pytest.mark.parametrize("asked", [hello(), envelope("tools/list")], ids=[LEGACY, MODERN])
async def test_foreign_hosts_and_origins_are_refused(browser, path, asked):
    spoken = {"headers": {}, **asked}
    for name, value in (
        ("host", "rebound.example"),
        ("host", "127.0.0.1.rebound.example:8750"),
        ("origin", "https://rebound.example"),
        ("origin", "http://localhost.rebound.example"),
    ):
        headers = {**spoken["headers"], name: value}
        refused = await browser.post(path, json=spoken["json"], headers=headers)
        assert refused.status_code == 403, value
    page = {**spoken["headers"], "host": "localhost:8750", "origin": "http://localhost:8750"}
    assert (await browser.post(path, json=spoken["json"], headers=page)).status_code == 200


async def test_an_open_ear_is_no_use_and_a_call_is(browser, service):
    opened = await browser.post("/mcp", **hello())
    session = {"mcp-session-id": opened.headers["mcp-session-id"]}
    async with browser.stream("GET", "/mcp", headers=session) as ear:
        while_listening = service.idle_s
        asking = asyncio.create_task(browser.post("/mcp", json=a_search(HELD), headers=session))
        await asyncio.wait_for(service.held.wait(), BOUND_S)
        while_asking = service.idle_s
        asking.cancel()
        await eventually(lambda: service.idle_s)

    assert ear.status_code == 200
    assert while_listening > 0
    assert while_asking == 0


async def test_a_gateway_that_ends_closes_its_open_ears(app):
    async with httpx2.AsyncClient(timeout=BOUND_S) as browser:
        headers = {"authorization": f"Bearer {TOKEN}", **BOTH}
        async with served(app) as url:
            opened = await browser.post(f"{url}/mcp", **hello(), headers=headers)
            headers["mcp-session-id"] = opened.headers["mcp-session-id"]
            ear = await browser.send(
                browser.build_request("GET", f"{url}/mcp", headers=headers), stream=True
            )
        assert await ear.aread() is not None


async def test_a_start_that_fails_is_tried_again_by_the_next_request(app, browser):
    def broken(*_made_from):
        raise ImportError("no mcp")

    opens, app.state.mcp.opens = app.state.mcp.opens, broken
    failed = await browser.post("/mcp", **hello())
    app.state.mcp.opens = opens
    opened = await browser.post("/mcp", **hello())

    assert failed.status_code == 503
    assert opened.status_code == 200


async def test_a_gateway_does_not_import_the_sdk_before_it_is_asked():
    code = "import sys, mcp_adapter.serving; print('mcp' in sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()

    assert said.split() == [b"False"]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
async def test_a_token_reaches_as_far_through_a_tool_as_by_itself(browser, path):
    browser.headers["authorization"] = f"Bearer {SEARCHING}"
    async with client(browser, path) as host:
        found = await host.call_tool("search", {"query": "admit"})
        refused = await host.call_tool("index_path", {"path": "/somewhere"})

    assert not found.is_error
    assert refused.is_error
    assert "this token reaches as far as search" in refused.content[0].text


async def test_what_a_tool_asks_is_not_counted_as_a_second_request():
    app = create_app(CannedService(), guard(Rates(1.0)), lambda: None)  # two at once, at most
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "application/json"}
    async with served(app) as url, httpx2.AsyncClient(headers=headers, timeout=BOUND_S) as browser:
        asked = [await browser.post(f"{url}/mcp", json=a_search("x")) for _ in range(3)]

    assert [answer.status_code for answer in asked] == [200, 200, 429]
    assert not any(answer.json()["result"]["isError"] for answer in asked[:2])
