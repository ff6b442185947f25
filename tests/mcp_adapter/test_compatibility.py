"""The old names: each works, or says what to call instead."""

from __future__ import annotations

import pytest
from calling import host_of, text_of
from host import environment, sdk_host
from stub_gateway import StubGateway, a_collection, a_job, stub_gateway

from mcp_adapter.locating import on_this_machine

OLD = {
    "search_code",
    "clear_database",
    "reindex_all",
    "toggle_watch",
    "embed_search",
    "embed_index",
    "embed_extract_symbols",
    "embed_status",
    "embed_clear",
}


async def old(gateway: StubGateway, tool: str, **arguments: object):
    async with host_of(gateway, on_this_machine, compatibility=True) as host:
        return await host.call_tool(tool, arguments)


async def test_old_names_are_there_where_they_are_wanted_and_only_there():
    names = {}
    for wanted in (False, True):
        async with host_of(StubGateway(), compatibility=wanted) as host:
            names[wanted] = {tool.name for tool in (await host.list_tools()).tools}

    assert names[True] - names[False] == OLD
    assert not OLD & names[False]


async def test_search_code_searches_with_what_stands_around():
    gateway = StubGateway()

    result = await old(gateway, "search_code", query="admit")

    assert gateway.bodies == [{"query": "admit", "limit": 8, "context": 10}]
    assert result.structured_content["hits"][0]["path"] == "actors/router.py"


@pytest.mark.parametrize(
    ("kind", "operation", "body"),
    [
        ("hybrid", "search", {"query": "x"}),
        ("semantic", "search", {"query": "x", "mode": "semantic"}),
        ("text", "search", {"query": "x", "mode": "lexical"}),
        ("symbol", "symbols", {"name": "x", "limit": 10}),
    ],
)
async def test_embed_search_knows_four_types(kind, operation, body):
    gateway = StubGateway()

    result = await old(gateway, "embed_search", query="x", search_type=kind)

    assert not result.is_error
    assert gateway.calls == [("POST", f"/v1/{operation}")]
    assert gateway.bodies == [body]


async def test_embed_index_and_reindex_all_wait_for_the_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = a_job(state="done")
    for tool, arguments in (("embed_index", {"path": str(tmp_path)}), ("reindex_all", {})):
        gateway = StubGateway(index=a_job(), jobs=done)
        result = await old(gateway, tool, **arguments)
        assert gateway.bodies[0] == {"paths": [str(tmp_path)]}
        assert result.structured_content["job"]["state"] == "done"


async def test_reindex_all_without_progress_returns_at_once(tmp_path):
    result = await old(StubGateway(), "reindex_all", directory=str(tmp_path), show_progress=False)

    assert result.structured_content["job"]["state"] == "running"


async def test_extensions_are_globs_of_what_to_take(tmp_path):
    gateway = StubGateway(jobs=a_job(state="done"))

    await old(gateway, "embed_index", path=str(tmp_path), file_extensions=["py", ".md", "*.rs"])

    assert gateway.bodies == [{"paths": [str(tmp_path)], "include": ["*.py", "*.md", "*.rs"]}]


async def test_a_filter_that_does_not_filter_is_refused(tmp_path):
    gateway = StubGateway()

    result = await old(gateway, "embed_index", path=str(tmp_path), max_file_size=0)

    assert result.is_error
    assert "Call again without max_file_size" in text_of(result)
    assert gateway.bodies == []


async def test_embed_status_is_cluster_status():
    assert "embedder-0" in text_of(await old(StubGateway(), "embed_status"))


@pytest.mark.parametrize("tool", ["embed_clear", "clear_database"])
async def test_everything_is_deleted_once_that_is_confirmed(tool):
    both = (a_collection(), a_collection(name="docs", source=""))
    gateway = StubGateway(collections=both)

    refused = await old(gateway, tool, confirm=False)
    assert "forget shoal (1234 chunks from /src/shoal), docs (1234 chunks)" in text_of(refused)
    assert [method for method, _ in gateway.calls] == ["GET"]

    done = await old(gateway, tool, confirm=True)
    assert [path for method, path in gateway.calls if method == "DELETE"] == [
        "/v1/collections/shoal",
        "/v1/collections/docs",
    ]
    assert done.structured_content == {"deleted": ["shoal", "docs"]}


async def test_of_very_many_collections_the_first_are_named():
    many = tuple(a_collection(name=f"c{number}") for number in range(300))

    said = text_of(await old(StubGateway(collections=many), "embed_clear"))

    assert "c19 (1234 chunks from /src/shoal) and 280 more;" in said
    assert "c20 " not in said


@pytest.mark.parametrize(
    ("tool", "arguments", "instead"),
    [
        ("toggle_watch", {"enabled": True}, "run `shoal watch <folder>`"),
        ("toggle_watch", {"enabled": False}, "end `shoal watch <folder>`"),
        ("embed_extract_symbols", {"code": "x", "file_extension": "py"}, "find_symbol(name=…)"),
    ],
)
async def test_what_cannot_be_done_says_what_to_do_instead(tool, arguments, instead):
    result = await old(StubGateway(), tool, **arguments)

    assert result.is_error
    assert instead in text_of(result)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_setting_brings_the_old_names_over_stdio(tmp_path, mode):
    async with stub_gateway(StubGateway()) as url:
        env = environment(tmp_path, SHOAL_URL=url, SHOAL_MCP_COMPATIBILITY="1")
        async with sdk_host(env, mode) as host:
            listed = {tool.name for tool in (await host.list_tools()).tools}
            found = await host.call_tool("embed_search", {"query": "admit"})

    assert listed > OLD
    assert found.structured_content["hits"][0]["path"] == "actors/router.py"
