"""An agent's host over stdio, the real server, the real gateway."""

import asyncio
import json
from contextlib import AsyncExitStack

import psutil
import pytest
from host import environment, pipes, sdk_host
from mcp.types import PromptReference
from waiting import BOUND_S

from actors.engines.registry import locate
from cluster import daemon

SERVERS, MOST_MB = 10, 90
WEIGHTS = str(locate("static:builtin"))


@pytest.fixture
def env(gateway, tmp_path):
    return environment(tmp_path, SHOAL_ROOT=gateway.root)


async def test_an_agent_indexes_a_folder_and_finds_what_it_asks_for(env, folder):
    async with sdk_host(env) as host:
        started = await host.call_tool("index_path", {"path": str(folder), "collection": "agent"})
        job = {"state": "running", "id": started.structured_content["job_id"]}
        for _ in range(BOUND_S * 20):
            answer = await host.call_tool("job_status", {"job_id": job["id"]})
            (job,) = answer.structured_content["jobs"]
            if job["state"] != "running":
                break
        assert (job["state"], job["files_total"]) == ("done", 4)
        found = await host.call_tool("search", {"query": "evict", "collections": ["agent"]})
        assert found.structured_content["hits"][0]["path"] == "src/cache.py"
        assert "src/cache.py:1-3" in found.content[0].text
        listed = await host.call_tool("list_collections", {})
        assert "agent" in {c["name"] for c in listed.structured_content["collections"]}
        status = await host.call_tool("cluster_status", {})
        assert status.structured_content["processes"] > 5


async def test_an_agent_goes_on_from_a_hit_and_forgets_the_collection(env, shoal, folder):
    shoal.wait(shoal.index([folder], collection="agent-reads"))
    here = {"collections": ["agent-reads"]}
    async with sdk_host(env) as host:

        async def call(tool, **arguments):
            answer = await host.call_tool(tool, arguments)
            assert not answer.is_error, answer.content[0].text
            return answer.structured_content, answer.content[0].text

        every = {"query": "evict install cookie", **here}
        first, _ = await call("search", **every, limit=2, exclude_paths=["*.go"])
        assert first["next_cursor"]
        second, _ = await call(
            "search", **every, exclude_paths=["*.go"], cursor=first["next_cursor"]
        )
        seen = [hit["id"] for hit in (*first["hits"], *second["hits"])]
        assert len(seen) == len(set(seen)) > 2
        assert "src/http.go" not in {hit["path"] for hit in second["hits"]}

        found, said = await call("find_symbol", name="ParseCookie", **here)
        assert [s["path"] for s in found["symbols"]] == ["src/http.go"]
        assert "func ParseCookie(line string) string" in said
        chunk = found["symbols"][0]["id"]
        passage, said = await call("read_chunk", id=chunk, context_lines=2)
        assert "return line" in passage["text"]
        assert passage["text"] in said
        lines = {"path": "src/cache.py", "start_line": 2, "end_line": 2}
        passage, _ = await call("read_chunk", **lines, collection="agent-reads")
        assert passage["text"] == "    # Drop the least recently used entry."
        alike, _ = await call("find_similar", id=chunk, **here)
        assert chunk not in {hit["id"] for hit in alike["hits"]}
        alike, _ = await call("find_similar", text="def evict(entries): entries.pop()", **here)
        assert alike["hits"][0]["path"] == "src/cache.py"

        resource = await host.read_resource(f"shoal://chunk/{chunk}")
        assert "ParseCookie" in resource.contents[0].text
        prompt = PromptReference(type="ref/prompt", name="answer_from_index")
        completed = await host.complete(prompt, {"name": "collection", "value": "agent-r"})
        assert completed.completion.values == ["agent-reads"]

        gone, _ = await call("delete_collection", name="agent-reads", confirm=True)
        assert gone == {"deleted": ["agent-reads"]}
        refused = await host.call_tool("search", every)
        assert "no collection 'agent-reads'" in refused.content[0].text


async def test_a_cursor_from_before_a_change_is_refused(env, shoal, folder):
    shoal.wait(shoal.index([folder], collection="changes"))
    asked = {"query": "evict", "collections": ["changes"], "limit": 1}
    async with sdk_host(env) as host:
        first = await host.call_tool("search", asked)
        (folder / "src" / "new.py").write_text("def evict_all(): ...\n")
        waited = await host.call_tool("index_path", {"path": str(folder), "wait_s": 30})
        assert waited.structured_content["job"]["state"] == "done"
        cursor = first.structured_content["next_cursor"]
        refused = await host.call_tool("search", {**asked, "cursor": cursor})
    assert "the index changed since the page" in refused.content[0].text


async def test_errors_tell_the_agent_what_to_do_next(env):
    async with sdk_host(env) as host:
        refused = await host.call_tool("search", {"query": "x", "collections": ["nowhere"]})
        assert refused.is_error
        assert "no collection 'nowhere'" in refused.content[0].text
        assert "list_collections" in refused.content[0].text


async def test_a_hundred_searches_keep_stdout_clean_and_memory_small(env, shoal, folder):
    shoal.wait(shoal.index([folder], collection="hundred"))
    async with pipes(env) as server:
        await server.shake_hands()
        for number in range(100):
            arguments = {"query": f"evict {number}", "collections": ["hundred"]}
            answer = await server.ask("tools/call", number + 10, name="search", arguments=arguments)
            assert answer["result"]["structuredContent"]["hits"]
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in server.heard)
        assert psutil.Process(server.process.pid).memory_full_info().pss <= 80e6


async def use_its_tools(server, number):
    """Search, read what was found, and list collections, as the agent of one host does."""
    await server.shake_hands()
    arguments = {
        "search": {"query": f"evict number {number}", "collections": ["ten"]},
        "read_chunk": {"id": None},
        "list_collections": {},
    }
    for step, (tool, given) in enumerate(arguments.items(), 1):
        answer = await server.ask("tools/call", step, name=tool, arguments=given)
        assert not answer["result"]["isError"], answer["result"]["content"][0]["text"]
        if tool == "search":
            arguments["read_chunk"]["id"] = answer["result"]["structuredContent"]["hits"][0]["id"]


async def test_ten_servers_at_once_share_one_model_and_stay_small(env, gateway, shoal, folder):
    shoal.wait(shoal.index([folder], collection="ten"))
    async with AsyncExitStack() as running:
        servers = [await running.enter_async_context(pipes(env)) for _ in range(SERVERS)]
        await asyncio.gather(*(use_its_tools(server, n) for n, server in enumerate(servers)))
        own = [psutil.Process(server.process.pid) for server in servers]
        pss_mb = sum(process.memory_full_info().pss for process in own) / 1e6
        first = daemon.find(gateway).process
        everyone = [*own, first, *first.children(recursive=True)]
        mapping = [process for process in everyone if maps_the_weights(process)]

    assert len(mapping) == 1
    assert pss_mb < SERVERS * MOST_MB


def maps_the_weights(process):
    """Tell whether a process maps the built-in model; one that ended meanwhile does not."""
    try:
        return any(each.path.startswith(WEIGHTS) for each in process.memory_maps())
    except psutil.Error:
        return False
