"""The application on Ray Serve, for real: two replicas behind Serve's proxy, as in Kubernetes.

It needs Serve's packages, which are installed in this environment alone.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import httpx2
import pytest
from heads import UNLOCKED, Head, free_port
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from waiting import until

from cluster.client import ShoalClient

SERVE = Path(sys.executable).with_name("serve")
TOKEN = "let-me-in-under-serve"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
READY_S = 120
pytestmark = pytest.mark.timeout(300)


class Deployment:
    """The application on a Ray cluster of the test's own."""

    def __init__(self, top, head):
        self.root = top / "root"
        self._file = top / "serve.json"  # which is YAML, too
        self._head = head
        self._port = free_port()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    def deploy(self, replicas):
        """Have so many replicas, and return once Serve has taken note."""
        kinds = ("host", "control", "embedder")
        limits = {f"{kind}_memory": "400MiB" for kind in kinds}
        places = {"root": str(self.root), "index_roots": str(self.root.parent)}
        application = {
            "name": "shoal",
            "route_prefix": "/",
            "import_path": "mcp_adapter.deployment:application",
            "args": {**places, **limits},
            "deployments": [{"name": "gateway", "num_replicas": replicas}],
        }
        http = {"host": "127.0.0.1", "port": self._port}
        config = {"http_options": http, "applications": [application]}
        self._file.write_text(json.dumps(config))
        done = subprocess.run(
            [SERVE, "run", "--non-blocking", "--address", self._head.address, self._file],
            capture_output=True,
            text=True,
            check=False,
            timeout=READY_S,
            env={**os.environ, **UNLOCKED},
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def answers(self, path="/readyz", **options):
        """Return the answer to a GET, or None where there is none."""
        try:
            answer = httpx2.get(f"{self.url}{path}", **options)
        except httpx2.HTTPError:
            return None
        return answer if answer.status_code == 200 else None


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    top = tmp_path_factory.mktemp("s")
    (top / "docs").mkdir()
    (top / "docs/a.md").write_text("# Harbour master\n\nWho lets ships in.\n")
    with patch.dict(os.environ, SHOAL_TOKEN=TOKEN):
        head = Head(top / "ray")
        head.start()
    try:
        deployment = Deployment(top, head)
        deployment.deploy(replicas=2)
        until(deployment.answers, READY_S)
        yield deployment
    finally:
        head.kill()


@pytest.fixture
def shoal(serving):
    with ShoalClient(serving.url, token=TOKEN) as client:
        yield client


def gateways(shoal):
    """Return the pids of the gateways that answer some requests."""
    return {shoal.status().gateway_pid for _ in range(16)}


def actors(shoal):
    return {replica.name: replica.pid for replica in shoal.status().replicas}


def test_probes_need_no_token_and_the_rest_does(serving):
    assert serving.answers("/healthz").json() == {"status": "ok"}
    assert serving.answers("/readyz").json() == {"phase": "ready"}
    assert httpx2.get(f"{serving.url}/v1/collections").status_code == 401
    wrong = {"Host": "rebound.example", **HEADERS}
    assert httpx2.get(f"{serving.url}/v1/collections", headers=wrong).status_code == 403


def test_a_folder_is_sent_indexed_by_one_replica_followed_through_any_and_searched(serving, shoal):
    docs = serving.root.parent / "docs"
    job = shoal.wait(shoal.upload(docs, collection="sent"))
    assert job.state == "done"
    assert {shoal.job(job.id).state for _ in range(8)} == {"done"}
    shoal.wait(shoal.index([str(docs)], collection="found"))
    hits = shoal.search("harbour master", collections=["sent", "found"]).hits
    assert [hit.path for hit in hits] == ["a.md", "a.md"]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_agent_calls_tools_whichever_replica_answers(serving, path, mode):
    async with httpx2.AsyncClient(headers=HEADERS, timeout=60) as http:
        transport = streamable_http_client(f"{serving.url}{path}", http_client=http)
        async with Client(transport, mode=mode) as agent:
            answers = [await agent.call_tool("list_collections", {}) for _ in range(8)]
    assert not any(answer.is_error for answer in answers)


async def test_progress_comes_as_a_stream_of_events_while_a_call_is_at_work(serving):
    heard = []

    async def note(progress, total, message):
        heard.append(message)

    docs = str(serving.root.parent / "docs")
    async with httpx2.AsyncClient(headers=HEADERS, timeout=60) as http:
        transport = streamable_http_client(f"{serving.url}/mcp", http_client=http)
        async with Client(transport) as agent:
            asked = {"path": docs, "collection": "followed", "wait_s": 30}
            done = await agent.call_tool("index_path", asked, progress_callback=note)
    assert not done.is_error
    assert heard


def test_a_replica_that_is_killed_is_replaced_and_the_actors_stay(serving, shoal):
    before, killed = actors(shoal), gateways(shoal)
    assert len(killed) == 2
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    search = {"query": "harbour master"}

    def found():
        try:
            answer = httpx2.post(f"{serving.url}/v1/search", json=search, headers=HEADERS)
        except httpx2.HTTPError:
            return False
        return answer.status_code == 200 and answer.json()["coverage"] == 1.0

    until(found, READY_S)
    until(lambda: len(gateways(shoal)) == 2, READY_S)
    assert not gateways(shoal) & killed
    until(lambda: actors(shoal) == before)


def test_one_that_is_taken_out_leaves_the_cluster_to_the_rest(serving, shoal):
    before, two = actors(shoal), gateways(shoal)
    serving.deploy(replicas=1)
    until(lambda: len(gateways(shoal)) == 1, READY_S)
    assert gateways(shoal) < two
    until(lambda: actors(shoal) == before)
    assert shoal.search("harbour master").coverage == 1.0


async def test_a_search_whose_caller_leaves_is_given_up(serving, shoal):
    """The router sleeps, so that the search would be at work for most of a minute."""
    router = actors(shoal)["router-0"]
    search = {"query": "harbour master", "deadline_s": 50}

    async def at_work(count):
        told = (await http.get("/metrics")).text
        return f"shoal_gateway_in_flight {count}.0" in told

    os.kill(router, signal.SIGSTOP)
    try:
        async with httpx2.AsyncClient(
            base_url=serving.url, headers=HEADERS, timeout=READY_S
        ) as http:
            searching = asyncio.create_task(http.post("/v1/search", json=search))
            while not await at_work(1):
                assert not searching.done()
            searching.cancel()
            async with asyncio.timeout(25):
                while not await at_work(0):
                    pass
    finally:
        os.kill(router, signal.SIGCONT)
    assert shoal.search("harbour master").coverage == 1.0
