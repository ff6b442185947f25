"""An agent's host over stdio, the real server, the real gateway."""

import json

import psutil
import pytest
from host import environment, pipes, sdk_host
from waiting import BOUND_S


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
