"""The tools through the SDK's client in memory, over our client and a real HTTP gateway."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from stub_gateway import (
    StubGateway,
    a_collection,
    a_hit,
    a_job,
    a_reply,
    a_status,
    stub_gateway,
)

from actors import errors
from cluster.client import AsyncShoalClient
from cluster.protocol import FileError, LoadedModel, Model, Problem, Replica
from mcp_adapter.progress import Phases
from mcp_adapter.server import build_server
from mcp_adapter.tools import on_the_gateway, on_this_machine


@asynccontextmanager
async def host_of(gateway: StubGateway, locate: Any = on_the_gateway) -> AsyncIterator[Client]:
    async with (
        stub_gateway(gateway) as url,
        AsyncShoalClient(url) as shoal,
        Client(build_server(shoal, locate=locate)) as host,
    ):
        yield host


async def call(gateway: StubGateway, tool: str, locate: Any = on_the_gateway, **arguments: Any):
    async with host_of(gateway, locate) as host:
        return await host.call_tool(tool, arguments)


def text_of(result: Any) -> str:
    assert [block.type for block in result.content] == ["text"]
    return result.content[0].text


async def test_a_search_sends_all_its_arguments_to_the_gateway():
    gateway = StubGateway()
    wanted = {
        "query": "admit",
        "collections": ["shoal"],
        "mode": "lexical",
        "languages": ["python"],
        "paths": ["src/"],
        "limit": 3,
    }

    await call(gateway, "search", **wanted)

    assert gateway.bodies == [wanted]


async def test_text_and_structure_of_a_search_say_the_same():
    gateway = StubGateway(search=a_reply(a_hit("def admit():\n    return 1")))

    result = await call(gateway, "search", query="admit")

    hit = result.structured_content["hits"][0]
    assert hit["text"] == "def admit():\n    return 1"
    head = "actors/router.py:12-13  Router.admit  (shoal, 0.0312)"
    assert f"{head}\n{hit['text']}\n>>> retrieved-" in text_of(result)
    assert result.structured_content["note"] in text_of(result)


async def test_an_incomplete_answer_says_so_in_text_and_structure():
    partial = a_reply(a_hit(), coverage=0.5, problem="shard 1 did not answer")

    result = await call(StubGateway(search=partial), "search", query="admit")

    assert result.structured_content["coverage"] == 0.5
    assert result.structured_content["collections"][0]["problem"] == "shard 1 did not answer"
    assert "INCOMPLETE: coverage 0.50" in text_of(result)
    assert "shard 1 did not answer" in text_of(result)


async def test_the_fence_is_another_for_every_answer():
    async with host_of(StubGateway()) as host:
        texts = [text_of(await host.call_tool("search", {"query": "x"})) for _ in range(2)]

    assert len({text.rsplit("\n", 1)[1] for text in texts}) == 2


async def test_fifty_long_hits_stay_within_the_budget():
    long = a_reply(*(a_hit("a line of code\n" * 2000) for _ in range(50)))

    result = await call(StubGateway(search=long), "search", query="x", limit=50)

    assert len(text_of(result)) < 30_000
    assert len(result.structured_content["hits"]) == 50
    assert all(hit["cut"].startswith("[cut: 19") for hit in result.structured_content["hits"])


async def test_indexing_returns_a_job_at_once_with_the_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    gateway = StubGateway()

    result = await call(gateway, "index_path", on_this_machine, path="src")

    assert gateway.bodies == [{"paths": [str(tmp_path / "src")]}]
    assert result.structured_content["job_id"] == "0a1b2c3d4e5f"
    assert "job_status(job_id='0a1b2c3d4e5f')" in text_of(result)


async def test_a_path_that_does_not_exist_never_reaches_the_gateway(tmp_path):
    gateway = StubGateway()

    missing = str(tmp_path / "missing")
    result = await call(gateway, "index_path", on_this_machine, path=missing)

    assert result.is_error
    assert f"{missing} does not exist on this machine" in text_of(result)
    assert gateway.bodies == []


async def test_a_relative_path_means_nothing_in_the_root_folder(monkeypatch):
    monkeypatch.chdir(os.sep)

    result = await call(StubGateway(), "index_path", on_this_machine, path="src")

    assert "give an absolute path" in text_of(result)


@pytest.mark.parametrize(
    ("path", "sent"), [("/src", True), ("C:\\src", True), ("src", False), ("~/src", False)]
)
async def test_another_machine_takes_absolute_paths_only(path, sent):
    gateway = StubGateway()

    result = await call(gateway, "index_path", path=path)

    assert result.is_error != sent
    assert bool(gateway.bodies) == sent


@pytest.mark.parametrize("locate", [on_this_machine, on_the_gateway])
@pytest.mark.parametrize("uri", ["s3://bucket/docs", "git+https://host/x.git@main"])
async def test_a_uri_is_sent_as_it_is(uri, locate):
    gateway = StubGateway()

    result = await call(gateway, "index_path", locate, path=uri)

    assert not result.is_error
    assert gateway.bodies == [{"paths": [uri]}]


async def test_a_job_says_how_far_it_is():
    result = await call(StubGateway(), "job_status", job_id="0a1b2c3d4e5f")

    (job,) = result.structured_content["jobs"]
    assert (job["files_done"], job["eta_s"]) == (120, 28.0)
    said = text_of(result)
    assert "(index of /src/shoal), collection shoal: running" in said
    assert "running (reading and embedding), 120 of 400 files" in said
    assert said.splitlines()[0].endswith("10.0 files/s, about 28 s left")


async def test_the_first_files_in_error_are_named_and_the_rest_counted():
    errors = tuple(FileError(path=f"{n}\n.py", reason="unreadable") for n in range(25))
    gateway = StubGateway(jobs=a_job(errors=errors, errors_omitted=3))

    result = await call(gateway, "job_status", job_id="0a1b2c3d4e5f")

    (job,) = result.structured_content["jobs"]
    assert (len(job["errors"]), job["errors_omitted"]) == (20, 8)
    assert "\nin error: 19 .py: unreadable\n8 files in error are not listed" in text_of(result)


async def test_without_a_job_id_the_latest_jobs_are_listed():
    many = tuple(a_job(id=f"{number:012x}") for number in range(12))

    result = await call(StubGateway(jobs=many), "job_status")

    assert [job["id"] for job in result.structured_content["jobs"]] == [j.id for j in many[:10]]
    assert text_of(result).endswith("\nand 2 older ones")
    assert text_of(await call(StubGateway(jobs=()), "job_status")).startswith("No jobs yet.")


async def test_a_job_is_cancelled_and_told_as_it_is_then():
    gateway = StubGateway(jobs=a_job(state="cancelled"))

    result = await call(gateway, "cancel_job", job_id="0a1b2c3d4e5f")

    assert gateway.calls == [("DELETE", "/v1/jobs/0a1b2c3d4e5f")]
    assert result.structured_content["jobs"][0]["state"] == "cancelled"
    assert "collection shoal: cancelled" in text_of(result)


async def test_a_failed_job_is_an_answer_that_names_its_error():
    failed = a_job(state="failed", error="no space left", error_kind="StorageError")

    result = await call(StubGateway(jobs=failed), "job_status", job_id="0a1b2c3d4e5f")

    assert not result.is_error
    assert "StorageError: no space left" in text_of(result)


@pytest.mark.parametrize("tool", ["job_status", "cancel_job"])
async def test_a_job_id_cannot_reach_another_operation(tool):
    gateway = StubGateway()

    result = await call(gateway, tool, job_id="../collections/shoal")

    assert result.is_error
    assert gateway.bodies == []


async def test_collections_are_listed_with_their_sources():
    result = await call(StubGateway(), "list_collections")

    assert result.structured_content["collections"][0]["source"] == "/src/shoal"
    assert "shoal: 1234 chunks, generation 7" in text_of(result)


async def test_hundreds_of_collections_are_counted_not_listed():
    many = tuple(a_collection(name=f"c{number}") for number in range(130))

    result = await call(StubGateway(collections=many), "list_collections")

    assert result.structured_content["omitted"] == 30
    assert text_of(result).endswith("\nand 30 more")


async def test_the_status_shows_running_jobs_before_those_that_ended():
    ended = [a_job(id=f"{number:012x}", state="done") for number in range(30)]
    status = a_status(jobs=(*ended, a_job(id="f" * 12)))

    result = await call(StubGateway(status=status), "cluster_status")

    assert result.structured_content["jobs"][0]["id"] == "f" * 12
    assert len(result.structured_content["jobs"]) == 10
    told = "embedder-0: Embedder, pid 12, 100 of 512 MiB, cgroup v2 + watchdog, state=ready"
    assert told in text_of(result)


async def test_the_status_of_a_cluster_that_is_away_is_an_answer_and_no_error():
    away = Problem(error="GatewayUnavailable", message="no answer from the gateway")

    result = await call(StubGateway(status=away), "cluster_status")

    assert not result.is_error
    assert result.structured_content["problem"] == "no answer from the gateway"
    assert text_of(result) == "PROBLEM: no answer from the gateway"


async def test_the_status_says_first_what_is_wrong():
    headless = await call(StubGateway(status=a_status(nodes=0)), "cluster_status")
    assert text_of(headless).startswith("PROBLEM: the cluster's head does not answer")
    missing = a_status(replicas=(Replica(name="host-1", problem="does not answer"),))
    result = await call(StubGateway(status=missing), "cluster_status")
    assert text_of(result).startswith("PROBLEM: these do not answer, and may be restarting: host-1")


async def test_a_call_that_waits_for_a_model_tells_how_far_its_load_is():
    half = LoadedModel(replica="e-0", state="loading", phase="reading", fraction=0.5)
    gateway = StubGateway(models=(Model(name="onnx:mini", replicas=(half,)),))
    gateway.hold_searches_until = "models"
    heard = []

    async def hear(_done, _total, message):
        heard.append(message)

    async with host_of(gateway) as host:
        await host.call_tool("search", {"query": "x"}, progress_callback=hear)

    assert heard == ["loading onnx:mini: reading (50%)"]


@pytest.mark.parametrize(
    ("tool", "error", "next_step"),
    [
        ("search", "NotFound", "list_collections"),
        ("search", "Overloaded", "Try again in 2 s"),
        ("search", "DeadlineExceeded", "cluster_status"),
        ("search", "ModelMismatch", "index_path"),
        ("search", "ModelLoadError", "mode='lexical'"),
        ("search", "Unauthorized", "SHOAL_TOKEN"),
        ("job_status", "NotFound", "job_status without job_id lists the latest jobs"),
        ("cancel_job", "NotFound", "job_status without job_id lists the latest jobs"),
        ("index_path", "NotFound", "exists where the gateway runs"),
    ],
)
async def test_every_error_says_what_is_wrong_and_what_to_do_next(tool, error, next_step):
    retry = 2.0 if error == "Overloaded" else None
    problem = Problem(error=error, message="this is wrong", retry_after_s=retry)
    gateway = StubGateway(search=problem, jobs=problem, index=problem)
    of_a_job = {"job_id": "1"}
    arguments = {"search": {"query": "x"}, "job_status": of_a_job, "cancel_job": of_a_job}

    result = await call(gateway, tool, **arguments.get(tool, {"path": "/src"}))

    assert result.is_error
    assert "this is wrong. " in text_of(result)
    assert next_step in text_of(result)


@pytest.mark.parametrize("error", sorted(errors.BY_NAME))
async def test_no_error_of_shoal_is_a_crash(error):
    problem = Problem(error=error, message="this is wrong")

    result = await call(StubGateway(status=problem), "cluster_status")

    assert "this is wrong" in text_of(result)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "query: Field required"),
        ({"query": ""}, "query: String should have at least 1 character"),
        ({"query": " "}, "the query is empty"),
        ({"query": "x", "limit": 51}, "limit: Input should be less than or equal to 50"),
        ({"query": "x", "mode": "fuzzy"}, "mode: Input should be 'hybrid'"),
        ({"query": "x", "collections": "shoal"}, "collections: Input should be a valid tuple"),
        ({"query": "x", "top_k": 5}, "search has no argument 'top_k'"),
    ],
)
async def test_invalid_arguments_are_refused_with_those_that_are_valid(arguments, complaint):
    gateway = StubGateway()

    result = await call(gateway, "search", **arguments)

    assert result.is_error
    assert complaint in text_of(result)
    assert "pydantic" not in text_of(result)
    assert gateway.bodies == []


async def test_lists_that_come_as_json_text_are_understood():
    gateway = StubGateway()

    await call(gateway, "search", query="x", languages='["python"]')

    assert gateway.bodies[0]["languages"] == ["python"]


async def test_tools_describe_themselves_to_a_model():
    async with host_of(StubGateway()) as host:
        tools = (await host.list_tools()).tools

    assert all(tool.annotations.open_world_hint is False for tool in tools)
    reading = [tool.name for tool in tools if tool.annotations.read_only_hint]
    assert reading == ["search", "job_status", "list_collections", "cluster_status"]
    for tool in tools:
        assert tool.output_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        described = tool.input_schema["properties"].values()
        assert all(argument["description"] for argument in described)
    assert "grep" in tools[0].description


class StartingShoal:
    """A client whose gateway has to be started first, in a thread, as the real one does it."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases

    async def collections(self) -> tuple[Any, ...]:
        await asyncio.to_thread(self._start)
        return ()

    def _start(self) -> None:
        for phase in ("starting the gateway", "starting Ray", "starting Ray", "starting actors"):
            self._phases(phase)


async def test_a_call_that_waits_for_a_gateway_reports_its_phases_as_progress():
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, _total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    phases = Phases()
    async with Client(build_server(StartingShoal(phases), phases=phases)) as host:
        result = await host.call_tool("list_collections", {}, progress_callback=hear)

    assert heard == [(1, "starting the gateway"), (2, "starting Ray"), (3, "starting actors")]
    assert text_of(result).startswith("Nothing is indexed yet.")


async def test_all_calls_that_wait_for_a_gateway_hear_of_it():
    heard: list[str | None] = []

    async def hear(_progress: float, _total: float | None, message: str | None) -> None:
        heard.append(message)

    phases = Phases()
    waiting = asyncio.Barrier(2)

    class BothWait(StartingShoal):
        async def collections(self) -> tuple[Any, ...]:
            await waiting.wait()
            await asyncio.to_thread(self._start)
            return ()

    async with Client(build_server(BothWait(phases), phases=phases)) as host:
        calls = (host.call_tool("list_collections", {}, progress_callback=hear) for _ in "12")
        await asyncio.wait_for(asyncio.gather(*calls), 60)

    assert heard.count("starting the gateway") >= 2
