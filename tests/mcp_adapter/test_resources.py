"""Resources, the prompt, and completion, through the SDK's client."""

from __future__ import annotations

from typing import Any

import pytest
from calling import host_of
from mcp import MCPError
from mcp.types import PromptReference, ResourceTemplateReference
from stub_gateway import StubGateway, a_collection, a_passage

from cluster.protocol import Problem

PROMPT = PromptReference(type="ref/prompt", name="answer_from_index")
COLLECTION = ResourceTemplateReference(type="ref/resource", uri="shoal://collection/{name}")


async def read(gateway: StubGateway, uri: str) -> str:
    async with host_of(gateway) as host:
        (contents,) = (await host.read_resource(uri)).contents
    return contents.text


async def refusal(gateway: StubGateway, uri: str) -> str:
    async with host_of(gateway) as host:
        with pytest.raises(MCPError) as refused:
            await host.read_resource(uri)
    return str(refused.value)


async def test_resources_and_templates_are_listed():
    async with host_of(StubGateway()) as host:
        resources = (await host.list_resources()).resources
        templates = (await host.list_resource_templates()).resource_templates

    assert [str(resource.uri) for resource in resources] == ["shoal://status"]
    assert [template.uri_template for template in templates] == [
        "shoal://collection/{name}",
        "shoal://chunk/{id}",
    ]
    assert all(described.description for described in (*resources, *templates))


async def test_the_status_reads_as_the_tool_tells_it():
    assert "embedder-0: Embedder, pid 12" in await read(StubGateway(), "shoal://status")
    away = Problem(error="GatewayUnavailable", message="no answer")
    said = await read(StubGateway(status=away), "shoal://status")
    assert said == "PROBLEM: no answer"


async def test_a_collection_says_what_it_holds_and_how_fresh_it_is():
    fresh = a_collection(behind_s=0.0)

    said = await read(StubGateway(collections=(fresh,)), "shoal://collection/shoal")

    assert said.startswith("shoal: 1234 chunks, generation 7")
    assert said.endswith("up to date")


async def test_a_chunk_is_fenced_and_hides_nothing():
    gateway = StubGateway(read=a_passage("one\x1b[2J\u202etwo"))

    said = await read(gateway, "shoal://chunk/00000000000000ff")

    assert gateway.bodies == [{"chunk_id": "00000000000000ff"}]
    assert "one\ufffd[2J\ufffdtwo\n>>> retrieved-" in said
    assert "untrusted" in said.splitlines()[0]


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("shoal://nothing", "Resources: shoal://status, shoal://collection/{name}, shoal://chunk"),
        ("shoal://collection/other", "no collection 'other'. list_collections names"),
        ("shoal://chunk/xyz", "chunk_id: String should match pattern"),
        ("shoal://chunk/..%2F..%2Fx", "There is no resource"),
    ],
)
async def test_a_resource_that_there_is_not_says_what_there_is(uri, complaint):
    assert complaint in await refusal(StubGateway(), uri)


async def test_an_error_of_the_gateway_reaches_whoever_reads():
    problem = Problem(error="NotFound", message="no such chunk")

    said = await refusal(StubGateway(read=problem), "shoal://chunk/00000000000000ff")

    assert said == "no such chunk. search finds chunks, with their ids in brackets."


async def test_the_prompt_asks_for_an_answer_from_the_index():
    async with host_of(StubGateway()) as host:
        (listed,) = (await host.list_prompts()).prompts
        wanted = {"question": "who {admits}?", "collection": "shoal"}
        prompt = await host.get_prompt("answer_from_index", wanted)

    assert [(a.name, a.required) for a in listed.arguments] == [
        ("question", True),
        ("collection", False),
        ("language", False),
    ]
    (message,) = prompt.messages
    assert "indexed: who {admits}?\n" in message.content.text
    assert ", collections=['shoal'])" in message.content.text
    assert "languages=" not in message.content.text


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("other", {}, "There is no prompt 'other'. Prompts: answer_from_index."),
        ("answer_from_index", {}, "answer_from_index has need of 'question'. Its arguments: quest"),
        ("answer_from_index", {"question": "x", "k": "1"}, "has no argument 'k'. Its arguments:"),
    ],
)
async def test_a_prompt_is_refused_with_what_is_valid(name, arguments, complaint):
    async with host_of(StubGateway()) as host:
        with pytest.raises(MCPError) as refused:
            await host.get_prompt(name, arguments)

    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("ref", "argument", "typed", "completed"),
    [
        (PROMPT, "collection", "", ["docs", "shoal"]),
        (PROMPT, "collection", "Sh", ["shoal"]),
        (PROMPT, "language", "pyt", ["python"]),
        (PROMPT, "question", "", []),
        (COLLECTION, "name", "d", ["docs"]),
        (COLLECTION, "other", "", []),
    ],
)
async def test_collections_and_languages_are_completed(ref, argument, typed, completed):
    gateway = StubGateway(collections=(a_collection(), a_collection(name="docs")))

    answer = await complete(gateway, ref, argument, typed)

    assert answer.values == completed
    assert answer.total == len(completed)


async def test_a_hundred_values_are_completed_and_more_are_told():
    many = tuple(a_collection(name=f"c{number}") for number in range(130))

    answer = await complete(StubGateway(collections=many), PROMPT, "collection", "c")

    assert (len(answer.values), answer.total, answer.has_more) == (100, 130, True)


async def test_nothing_is_completed_where_the_gateway_is_away():
    away = Problem(error="GatewayUnavailable", message="no answer")

    assert (await complete(StubGateway(collections=away), PROMPT, "collection", "")).values == []


async def complete(gateway: StubGateway, ref: Any, argument: str, typed: str) -> Any:
    async with host_of(gateway) as host:
        return (await host.complete(ref, {"name": argument, "value": typed})).completion
