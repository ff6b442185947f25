"""What all tools share: descriptions, errors, progress while a gateway starts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from calling import call, host_of, text_of
from mcp import Client
from stub_gateway import StubGateway

from actors import errors
from cluster.protocol import Problem
from mcp_adapter.progress import Phases
from mcp_adapter.server import build_server


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
        ("read_chunk", "NotFound", "search finds what is indexed, with its id and path"),
        ("find_similar", "NotFound", "search finds what is indexed, with its id and path"),
        ("find_symbol", "NotFound", "list_collections"),
    ],
)
async def test_every_error_says_what_is_wrong_and_what_to_do_next(tool, error, next_step):
    retry = 2.0 if error == "Overloaded" else None
    problem = Problem(error=error, message="this is wrong", retry_after_s=retry)
    operations = ("search", "jobs", "index", "read", "similar", "symbols")
    gateway = StubGateway(**dict.fromkeys(operations, problem))
    of_a_job, of_a_chunk = {"job_id": "1"}, {"id": "0" * 16}
    arguments = {
        "search": {"query": "x"},
        "job_status": of_a_job,
        "cancel_job": of_a_job,
        "read_chunk": of_a_chunk,
        "find_similar": of_a_chunk,
        "find_symbol": {"name": "x"},
    }

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
        ({"query": "x", "max_tokens": 100}, "max_tokens: Input should be greater than or equal"),
        ({"query": "x", "detail": "all"}, "detail: Input should be 'locations', 'concise' or"),
    ],
)
async def test_invalid_arguments_are_refused_with_those_that_are_valid(arguments, complaint):
    gateway = StubGateway()

    result = await call(gateway, "search", **arguments)

    assert result.is_error
    assert complaint in text_of(result)
    assert "pydantic" not in text_of(result)
    assert gateway.bodies == []


async def test_tools_describe_themselves_to_a_model():
    async with host_of(StubGateway()) as host:
        tools = (await host.list_tools()).tools

    assert all(tool.annotations.open_world_hint is False for tool in tools)
    reading = [tool.name for tool in tools if tool.annotations.read_only_hint]
    assert reading == [
        "search",
        "find_similar",
        "read_chunk",
        "find_symbol",
        "job_status",
        "list_collections",
        "cluster_status",
    ]
    assert [t.name for t in tools if t.annotations.destructive_hint] == ["delete_collection"]
    assert all(tool.annotations.idempotent_hint for tool in tools)
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
