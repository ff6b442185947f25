"""The application for Ray Serve, without Ray: its arguments, its tokens, when it is ready."""

import asyncio
import pickle

import httpx2
import pytest
from canned import CannedService, guard
from pydantic import ValidationError

from actors.errors import Forbidden, GatewayUnavailable, InvalidRequest
from mcp_adapter.app import create_app
from mcp_adapter.deployment import Gateway, Sessionless, settings_of

SECRET = "a-secret-of-sixteen"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture
def gateway(monkeypatch, tmp_path):
    monkeypatch.setenv("SHOAL_TOKEN", SECRET)
    monkeypatch.setattr("mcp_adapter.deployment.begin_logging", lambda *_: None)
    return Gateway(settings_of({"root": str(tmp_path)}))


class Opening:
    """A service as it starts: what it comes to, and whether its hosts open all in time."""

    phase, problem = "starting", ""

    def __init__(self, opens=True):
        self.opens = opens
        self.asked = 0

    async def open_newest(self, within_s):
        self.asked += 1
        return self.opens

    def check_ready(self):
        if self.phase != "ready":
            raise GatewayUnavailable(self.phase)


def test_arguments_come_before_the_environment_and_may_be_text(monkeypatch):
    monkeypatch.setenv("SHOAL_SHARDS", "3")
    monkeypatch.setenv("SHOAL_HOSTS", "4")
    settings = settings_of({"root": "s3://bucket/x", "hosts": "8", "gateways": "2"})
    assert (settings.root_uri, settings.hosts, settings.shards) == ("s3://bucket/x", 8, 3)
    assert (settings.gateways, settings.open_within_s) == (2, 60)


@pytest.mark.parametrize("name", ["colour", "token", "tokens", "url", "idle_shutdown_s"])
def test_an_unknown_argument_is_refused_with_those_that_there_are(name):
    with pytest.raises(InvalidRequest, match=f"no argument {name}; it takes .*gateways, .*root"):
        settings_of({name: "x"})


def test_a_value_that_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="gateways"):
        settings_of({"gateways": "none"})


def test_what_is_bound_to_the_deployment_holds_no_token(monkeypatch):
    monkeypatch.setenv("SHOAL_TOKEN", SECRET)
    monkeypatch.setenv("SHOAL_TOKENS", f"search:{SECRET}-2")
    assert SECRET.encode() not in pickle.dumps(settings_of({}))


def test_a_replica_without_a_token_says_where_to_put_one(monkeypatch):
    monkeypatch.delenv("SHOAL_TOKEN", raising=False)
    with pytest.raises(InvalidRequest, match=r"set SHOAL_TOKEN .* environment of the replicas"):
        Gateway(settings_of({}))


async def test_it_is_ready_once_it_has_started_and_its_hosts_have_opened_what_they_serve(gateway):
    service = gateway._service = Opening()
    looking = asyncio.create_task(gateway.check_health())
    await asyncio.sleep(0)
    assert not looking.done()
    service.phase = "ready"
    await asyncio.wait_for(looking, 10)
    await gateway.check_health()
    assert service.asked == 1


async def test_what_takes_too_long_to_open_keeps_it_from_nothing_and_is_logged(gateway, caplog):
    service = gateway._service = Opening(opens=False)
    service.phase = "ready"
    await gateway.check_health()
    assert "not all hosts have opened what they serve within 60 s" in caplog.text


async def test_one_that_cannot_start_says_why_and_serve_is_told(gateway):
    service = gateway._service = Opening()
    service.phase, service.problem = "failed", "this Ray cluster serves the root /other"
    gateway._end()
    with pytest.raises(GatewayUnavailable, match="serves the root /other"):
        await gateway.check_health()


async def test_one_that_does_not_serve_any_more_is_unhealthy(gateway):
    service = gateway._service = Opening()
    service.phase = "ready"
    await gateway.check_health()
    service.phase = "stopping"
    with pytest.raises(GatewayUnavailable):
        await gateway.check_health()


def test_it_is_not_ended_by_a_caller(gateway):
    gateway._service = Opening()
    with pytest.raises(Forbidden, match="serve shutdown"):
        gateway._end()


async def test_a_handshake_opens_no_session_and_nobody_listens_for_what_one_would_say():
    app = create_app(CannedService(), guard(), lambda: None)
    headers = {"Authorization": "Bearer let-me-in", "Accept": "application/json, text/event-stream"}
    transport = httpx2.ASGITransport(Sessionless(app))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        answer = await http.post("/mcp", json=HELLO, headers=headers)
        assert answer.status_code == 200
        assert "mcp-session-id" not in answer.headers
        assert (await http.get("/mcp", headers=headers)).status_code == 405


async def test_a_prefix_is_taken_off():
    app = create_app(CannedService(), guard(), lambda: None)
    transport = httpx2.ASGITransport(Sessionless(app), root_path="/shoal")
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert (await http.get("/shoal/healthz")).json() == {"status": "ok"}
        assert (await http.get("/shoal")).status_code == 200
