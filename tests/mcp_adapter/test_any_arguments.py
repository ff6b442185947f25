"""Whatever a client sends, it is answered in words that were written for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from stub_gateway import StubGateway, a_hit, a_job, a_passage, a_reply

from actors import errors
from cluster.client import AsyncShoalClient
from mcp_adapter.server import build_server

RARE = "\u202e\x00\x1b'\"\\ \n"
STRINGS = (
    st.text(max_size=40)
    | st.text(RARE, max_size=8)
    | st.sampled_from(
        ["shoal", "hybrid", "full", "[]", '["a"]', "1", "true", "/", "../x", "s3://b"]
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-1, 60)
    | st.floats()
    | STRINGS
    | st.sampled_from(["0" * 16, "0a1b2c3d4e5f"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=5,
)
OURS = ("Traceback", "pydantic", "Error executing", "Error creating", "nobody foresaw")
"""What says that an exception came out which nothing of ours had put into words."""
HIDES = set(RARE) - set("'\"\\ \n")


class Canned(AsyncShoalClient):
    """Describes and checks every call as the real client does, and answers or fails at once."""

    failure: errors.ShoalError | None = None

    async def send(self, call: Any) -> Any:
        if self.failure:
            raise self.failure
        gateway = StubGateway(
            search=a_reply(a_hit("x\u202e"), more=True), read=a_passage("a\x1bb"), jobs=(a_job(),)
        )
        if call.method == "DELETE" and "/collections/" in call.path:
            return None
        if "/jobs/" in call.path:
            return a_job(state="done")
        return gateway.replies[call.path.split("/")[2]]


async def _arguments_of_tools() -> dict[str, list[str]]:
    async with Client(build_server(Canned(), compatibility=True)) as host:
        return {t.name: list(t.input_schema["properties"]) for t in (await host.list_tools()).tools}


ARGUMENTS = asyncio.run(_arguments_of_tools())


PLAUSIBLE: dict[str, Any] = {
    "path": "/src",
    "directory": "/src",
    "query": "x",
    "name": "shoal",
    "id": "0" * 16,
    "job_id": "0a1b2c3d4e5f",
    "code": "x",
    "file_extension": "py",
}


@st.composite
def calls(draw: Any) -> tuple[str, dict[str, Any]]:
    """Return a tool and arguments: some that it needs, some of any kind, some that it has not."""
    tool = draw(st.sampled_from(sorted(ARGUMENTS)))
    usual = {name: PLAUSIBLE[name] for name in ARGUMENTS[tool] if name in PLAUSIBLE}
    names = st.sampled_from(ARGUMENTS[tool] or ["none"])
    odd = draw(st.just({}) | st.dictionaries(names | names | STRINGS, VALUES, max_size=4))
    kept = draw(st.lists(st.sampled_from(sorted(usual) or ["none"]), unique=True))
    return tool, odd | {name: usual[name] for name in kept if name in usual}


@pytest.mark.parametrize("failing", [False, True])
def test_no_arguments_bring_a_traceback_or_an_exception_of_ours_to_a_client(failing):
    client = Canned()
    client.failure = errors.StorageError("the disk\u202e is gone") if failing else None
    server = build_server(client, compatibility=True)
    answered = Counter()

    async def answer(tool: str, arguments: dict[str, Any]) -> Any:
        async with Client(server) as host:
            return await asyncio.wait_for(host.call_tool(tool, arguments), 60)

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(calls())
    def check(made: tuple[str, dict[str, Any]]) -> None:
        result = asyncio.run(answer(*made))
        said = result.content[0].text
        answered[made[0]] += not result.is_error
        assert said
        assert not HIDES & set(said)
        assert not any(word in said for word in OURS)

    check()
    if not failing:
        assert len(answered) == len(ARGUMENTS)
        assert sum(map(bool, answered.values())) >= len(ARGUMENTS) - 6


async def test_half_a_character_is_refused():
    with pytest.raises(ToolError) as refused:
        await SERVER.call_tool("search", {"query": ["\ud800"]})

    assert "half a character" in str(refused.value)
    assert "Arguments of search: query (required)" in str(refused.value)


SERVER = build_server(Canned())


@settings(max_examples=200, deadline=None)
@given(STRINGS, st.dictionaries(STRINGS | st.just("question"), st.text(max_size=20), max_size=3))
def test_no_uri_and_no_prompt_brings_more_than_a_sentence(name, arguments):
    async def ask() -> list[str]:
        said = []
        for asking in (
            SERVER.read_resource(f"shoal://chunk/{name}"),
            SERVER.read_resource(f"shoal://collection/{name}"),
            SERVER.read_resource(name),
            SERVER.get_prompt("answer_from_index", arguments),
            SERVER.get_prompt(name, arguments),
        ):
            try:
                said.append(str(await asking))
            except (ResourceError, MCPError) as error:
                said.append(str(error))
        return said

    for said in asyncio.run(ask()):
        assert said
        assert not any(word in said for word in OURS)


async def test_what_nobody_foresaw_is_told_without_its_insides():
    class Broken(Canned):
        async def send(self, call: Any) -> Any:
            raise KeyError("secret")

    async with Client(build_server(Broken())) as host:
        result = await host.call_tool("list_collections", {})
        with pytest.raises(MCPError) as refused:
            await host.read_resource("shoal://collection/shoal")

    assert result.is_error
    assert "list_collections failed in a way that nobody foresaw" in result.content[0].text
    assert "secret" not in result.content[0].text + str(refused.value)
