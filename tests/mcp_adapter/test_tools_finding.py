"""Tools that find and read."""

from __future__ import annotations

import asyncio

import pytest
from calling import call, host_of, text_of
from stub_gateway import (
    StubGateway,
    a_hit,
    a_passage,
    a_reply,
    a_symbol,
)
from waiting import BOUND_S, eventually

from cluster.lookup_protocol import SymbolsReply
from cluster.protocol import LoadedModel, Model


async def test_a_search_sends_all_its_arguments_to_the_gateway():
    gateway = StubGateway()
    wanted = {
        "query": "admit",
        "collections": ["shoal"],
        "mode": "lexical",
        "languages": ["python"],
        "paths": ["src/"],
        "exclude_paths": ["tests/"],
        "limit": 3,
    }

    await call(gateway, "search", **wanted)

    assert gateway.bodies == [wanted]


async def test_text_and_structure_of_a_search_say_the_same():
    gateway = StubGateway(search=a_reply(a_hit("def admit():\n    return 1")))

    result = await call(gateway, "search", query="admit")

    hit = result.structured_content["hits"][0]
    assert hit["text"] == "def admit():\n    return 1"
    head = "actors/router.py:12-13  Router.admit  (shoal, 0.0312)  [00000000000000ff]"
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


async def test_lists_that_come_as_json_text_are_understood():
    gateway = StubGateway()

    await call(gateway, "search", query="x", languages='["python"]')

    assert gateway.bodies[0]["languages"] == ["python"]


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


async def test_a_cancelled_search_ends_the_request_to_the_gateway():
    gateway = StubGateway()
    gateway.hold_searches_until = "never"
    async with host_of(gateway) as host:
        calling = asyncio.create_task(host.call_tool("search", {"query": "x"}))
        await eventually(lambda: "search" in gateway.asked)
        calling.cancel()
        await asyncio.wait_for(gateway.left.wait(), BOUND_S)
        assert not (await host.call_tool("list_collections", {})).is_error


@pytest.mark.parametrize(("detail", "shown"), [("locations", 0), ("concise", 799), ("full", 3_199)])
async def test_detail_says_how_much_of_each_hit_is_shown(detail, shown):
    long = a_reply(a_hit("\n".join(["seven.."] * 400)))

    result = await call(StubGateway(search=long), "search", query="x", detail=detail)

    (hit,) = result.structured_content["hits"]
    assert len(hit["text"]) == shown
    assert bool(hit["cut"]) == (detail == "concise")
    assert result.structured_content["truncated"] is False


async def test_what_does_not_fit_is_told_with_a_cursor_to_the_rest():
    hits = [a_hit("x" * 1400, path=f"{number}.py") for number in range(8)]
    gateway = StubGateway(search=a_reply(*hits))

    result = await call(gateway, "search", query="x", detail="full", max_tokens=1000)

    answer = result.structured_content
    shown = len(answer["hits"])
    assert 0 < shown < 8
    assert answer["truncated"] is True
    assert answer["hint"].startswith(f"{shown} of 8 hits fit into max_tokens=1000. next_cursor")
    assert f"TRUNCATED: {answer['hint']}" in text_of(result)
    assert f"next_cursor: {answer['next_cursor']}" in text_of(result)


async def test_a_cursor_leads_to_the_page_behind_what_was_shown():
    gateway = StubGateway(search=a_reply(a_hit(), a_hit(), more=True))
    async with host_of(gateway) as host:
        first = await host.call_tool("search", {"query": "x", "limit": 2})
        cursor = first.structured_content["next_cursor"]
        again = {"query": "x", "cursor": cursor, "limit": 5, "detail": "locations"}
        second = await host.call_tool("search", again)

    assert first.structured_content["truncated"] is False
    assert "call again with next_cursor as cursor" in text_of(first)
    assert gateway.bodies[1] == {"query": "x", "limit": 5, "offset": 2}
    assert second.structured_content["next_cursor"] != cursor


@pytest.mark.parametrize("changed", ["no cursor", "", "A" * 24, None, "query", "paths"])
async def test_a_cursor_that_no_such_search_gave_is_refused_with_the_way_out(changed):
    gateway = StubGateway(search=a_reply(a_hit(), more=True))
    async with host_of(gateway) as host:
        first = await host.call_tool("search", {"query": "x"})
        cursor = first.structured_content["next_cursor"]
        other = {"query": {"query": "y"}, "paths": {"paths": ["src/"]}}.get(changed, {})
        given = {None: cursor[:-1] + ("A" if cursor[-1] != "A" else "B")}.get(changed, changed)
        given = cursor if other else given or f"{cursor}!"
        refused = await host.call_tool("search", {"query": "x", "cursor": given, **other})

    assert refused.is_error
    assert "this cursor belongs to no search with these arguments" in text_of(refused)
    assert "call search again without cursor" in text_of(refused)
    assert len(gateway.bodies) == 1


async def test_a_cursor_is_stale_once_the_index_has_changed():
    replies = iter([a_reply(a_hit(), more=True), a_reply(a_hit(), more=True, generation=8)])
    gateway = StubGateway(search=lambda: next(replies))
    async with host_of(gateway) as host:
        first = await host.call_tool("search", {"query": "x"})
        cursor = first.structured_content["next_cursor"]
        refused = await host.call_tool("search", {"query": "x", "cursor": cursor})

    assert refused.is_error
    assert "the index changed since the page" in text_of(refused)


async def test_the_last_page_that_can_be_had_says_so():
    gateway = StubGateway(search=a_reply(*[a_hit()] * 50, more=True))
    async with host_of(gateway) as host:
        asked, pages = {"query": "x", "limit": 50, "detail": "locations", "max_tokens": 9000}, 0
        cursor = "first"
        while cursor:
            answer = (await host.call_tool("search", asked)).structured_content
            cursor = asked["cursor"] = answer["next_cursor"]
            pages += 1

    assert pages == 20
    assert gateway.bodies[-1]["offset"] == 950
    assert answer["hint"].startswith("There are more hits")


async def test_of_many_collections_those_that_tell_something_come_first():
    reply = a_reply(a_hit(collection="c77"), problem="")
    (searched,) = reply.collections
    many = [searched.model_copy(update={"name": f"c{number}"}) for number in range(100)]
    many[55] = many[55].model_copy(update={"problem": "lost\nit", "coverage": 0.5})

    reply = reply.model_copy(update={"collections": tuple(many)})
    result = await call(StubGateway(search=reply), "search", query="x")

    answer = result.structured_content
    assert [c["name"] for c in answer["collections"][:3]] == ["c55", "c77", "c0"]
    assert answer["collections_omitted"] == 100 - len(answer["collections"]) > 0
    assert "c55 (generation 7, coverage 0.50: lost it)" in text_of(result)
    assert f", {answer['collections_omitted']} more." in text_of(result)


@pytest.mark.parametrize(
    ("piece", "body"),
    [
        ({"id": "00000000000000ff"}, {"chunk_id": "00000000000000ff"}),
        ({"path": "a.py", "line": 3}, {"path": "a.py", "line": 3}),
        ({"text": "def admit"}, {"text": "def admit"}),
    ],
)
async def test_something_similar_is_asked_for_by_id_place_or_text(piece, body):
    gateway = StubGateway(similar=a_reply(a_hit(), more=True))

    result = await call(gateway, "find_similar", **piece, exclude_paths=["tests/"], limit=1)

    assert gateway.bodies == [{**body, "exclude_paths": ["tests/"], "limit": 1}]
    answer = result.structured_content
    assert answer["hits"][0]["path"] == "actors/router.py"
    assert answer["hint"].startswith("More hits: call again with next_cursor")
    assert f"next_cursor: {answer['next_cursor']}" in text_of(result)


@pytest.mark.parametrize(
    ("tool", "operation", "question", "other"),
    [
        ("find_similar", "similar", {"text": "def admit"}, {"text": "def refuse"}),
        ("find_similar", "similar", {"text": "x", "paths": ["src/"]}, {"text": "x"}),
        ("find_symbol", "symbols", {"name": "admit"}, {"name": "admit", "kind": "class"}),
    ],
)
async def test_likenesses_and_definitions_come_page_by_page(tool, operation, question, other):
    found = a_reply(a_hit(), a_hit(), more=True)
    symbols = SymbolsReply(symbols=(a_symbol(),) * 2, more=True, collections=found.collections)
    gateway = StubGateway(similar=found, symbols=symbols)
    async with host_of(gateway) as host:
        first = await host.call_tool(tool, {**question, "limit": 2})
        cursor = first.structured_content["next_cursor"]
        second = await host.call_tool(tool, {**question, "limit": 5, "cursor": cursor})
        of_another = await host.call_tool(tool, {**other, "cursor": cursor})
        of_search = await host.call_tool("search", {"query": "admit", "cursor": cursor})

    assert gateway.bodies == [
        {**question, "limit": 2},
        {**question, "limit": 5, "offset": 2},
    ]
    assert second.structured_content["next_cursor"] not in {"", cursor}
    assert f"belongs to no {tool} with these arguments" in text_of(of_another)
    assert "belongs to no search with these arguments" in text_of(of_search)


async def test_the_last_page_of_definitions_says_that_it_was_all():
    replies = iter([SymbolsReply(symbols=(a_symbol(),), more=True), SymbolsReply(symbols=())])
    async with host_of(StubGateway(symbols=lambda: next(replies))) as host:
        first = await host.call_tool("find_symbol", {"name": "f"})
        cursor = first.structured_content["next_cursor"]
        last = await host.call_tool("find_symbol", {"name": "f", "cursor": cursor})

    assert last.structured_content["next_cursor"] == ""
    assert "That was all." in text_of(last)


@pytest.mark.parametrize(
    "piece",
    [{}, {"id": "0" * 16, "text": "x"}, {"path": "a.py"}, {"line": 3}, {"line": 3, "text": "x"}],
)
async def test_one_piece_is_wanted_exactly(piece):
    gateway = StubGateway()

    result = await call(gateway, "find_similar", **piece)

    assert "give one of: id; path and line; text." in text_of(result)
    assert gateway.bodies == []


async def test_a_chunk_is_read_by_its_id_with_what_stands_around():
    gateway = StubGateway(read=a_passage("one\ntwo"))

    result = await call(gateway, "read_chunk", id="00000000000000ff", context_lines=5)

    assert gateway.bodies == [{"chunk_id": "00000000000000ff", "context": 5}]
    head = "actors/router.py:12-13  Router.admit  (python, shoal, generation 7)"
    assert f"{head}  [00000000000000ff]\none\ntwo\n>>> retrieved-" in text_of(result)
    assert result.structured_content["text"] == "one\ntwo"
    assert result.structured_content["truncated"] is False


async def test_a_long_passage_is_cut_between_lines_and_says_how_to_read_on():
    text = "\n".join(f"line {number}" for number in range(12, 2000))
    gateway = StubGateway(read=a_passage(text))
    asked = {"path": "actors/router.py", "start_line": 12, "end_line": 1999}

    result = await call(gateway, "read_chunk", **asked, max_tokens=1000)

    answer = result.structured_content
    end = answer["end_line"]
    assert gateway.bodies == [asked]
    assert answer["text"].endswith(f"\nline {end}")
    assert answer["truncated"] is True
    way_on = f"read_chunk(path='actors/router.py', collection='shoal', start_line={end + 1})"
    assert way_on in answer["hint"]
    assert answer["hint"] in text_of(result)


@pytest.mark.parametrize(
    "which", [{}, {"id": "0" * 16, "path": "a"}, {"id": "0" * 16, "end_line": 3}]
)
async def test_one_passage_is_wanted_exactly(which):
    result = await call(StubGateway(), "read_chunk", **which)

    assert "give either id, or path" in text_of(result)


async def test_a_definition_is_found_by_its_name():
    gateway = StubGateway()

    result = await call(gateway, "find_symbol", name="admit", kind="function", limit=3)

    assert gateway.bodies == [{"name": "admit", "kind": "function", "limit": 3}]
    line = (
        "actors/router.py:12-20  Router.admit  (function python, shoal)  [00000000000000ff]: "
        "def admit(self) -> None:"
    )
    assert line in text_of(result)
    assert result.structured_content["symbols"][0]["signature"] == "def admit(self) -> None:"


async def test_definitions_that_do_not_fit_or_are_beyond_the_limit_are_told():
    long = tuple(a_symbol(signature="def f(" + "a, " * 130) for _ in range(50))
    async with host_of(StubGateway(symbols=SymbolsReply(symbols=long, more=False))) as host:
        cut = await host.call_tool("find_symbol", {"name": "f", "limit": 50})
    some = SymbolsReply(symbols=(a_symbol(),), more=True)
    limited = await call(StubGateway(symbols=some), "find_symbol", name="f")

    assert 0 < len(cut.structured_content["symbols"]) < 50
    for result in (cut, limited):
        assert result.structured_content["truncated"] is True
        assert "TRUNCATED: There are more definitions: call again with next_cursor" in text_of(
            result
        )


async def test_no_definition_says_what_finds_uses():
    nothing = SymbolsReply(symbols=(), more=False)

    result = await call(StubGateway(symbols=nothing), "find_symbol", name="f")

    assert text_of(result).startswith("No definitions. Searched: nothing.\nsearch finds where it")
