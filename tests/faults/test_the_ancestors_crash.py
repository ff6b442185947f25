"""The crash that Shoal was built to survive, re-enacted.

A server of MCP that embedded in its own process mapped and dequantised an 80 MB model of
nomic-bert shape when it started, and died. Here the same model takes down nothing.
"""

import pytest
from gguf_writer import write_nomic
from host import environment, pipes
from own_gateway import own_gateway
from waiting import until

MODEL_MB = 80
TOO_LITTLE, ENOUGH = "192MiB", "640MiB"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("xllamacpp", reason="needs the extra gguf: pip install 'shoal[gguf]'")
    path = write_nomic(tmp_path_factory.mktemp("nomic") / "nomic.gguf", MODEL_MB)
    assert path.stat().st_size > 0.9 * MODEL_MB * 1e6
    return path


@pytest.fixture
def project(tmp_path):
    top = tmp_path / "project"
    top.mkdir()
    (top / "zebra.md").write_text("# Zebra crossing\n\nHow to cross a street.\n")
    return top


async def tool(server, number, name, **arguments):
    answer = await server.ask("tools/call", number, name=name, arguments=arguments)
    return answer["result"]


async def test_with_too_little_memory_the_server_answers_everything_and_stays_up(
    tmp_path, project, model
):
    root = tmp_path / "root"
    with own_gateway(root, SHOAL_EMBEDDER_MEMORY=ENOUGH) as shoal:
        shoal.wait(shoal.index([project], collection="zoo", model=f"gguf:{model}"))
    with own_gateway(root, SHOAL_EMBEDDER_MEMORY=TOO_LITTLE) as shoal:
        async with pipes(environment(tmp_path, SHOAL_ROOT=str(root))) as server:
            told = await server.shake_hands()
            assert told["serverInfo"]["name"] == "shoal"
            listed = await server.ask("tools/list", 1)
            assert "search" in {each["name"] for each in listed["result"]["tools"]}
            refused = await tool(server, 2, "search", query="zebra")
            assert refused["isError"]
            said = refused["content"][0]["text"]
            assert "MiB" in said
            assert "SHOAL_EMBEDDER_MEMORY" in said
            assert "mode='lexical'" in said
            status = await tool(server, 3, "cluster_status")
            assert not status["isError"]
            (replica,) = (
                r for r in status["structuredContent"]["replicas"] if r["kind"] == "Embedder"
            )
            assert replica["limit_bytes"] == 192 << 20
            assert replica["detail"]["state"] == "failed"
            by_words = await tool(server, 4, "search", query="zebra", mode="lexical")
            assert by_words["structuredContent"]["hits"]
            assert server.process.returncode is None
        assert shoal.search("zebra", mode="lexical").coverage == 1.0


async def test_with_enough_memory_the_same_search_works(tmp_path, project, model):
    root = tmp_path / "root"
    with own_gateway(root, SHOAL_EMBEDDER_MEMORY=ENOUGH) as shoal:
        async with pipes(environment(tmp_path, SHOAL_ROOT=str(root))) as server:
            await server.shake_hands()
            job = shoal.index([project], collection="zoo", model=f"gguf:{model}")
            assert until(lambda: shoal.job(job.id).state != "running")
            found = await tool(server, 2, "search", query="zebra", mode="semantic")
            assert found["structuredContent"]["hits"][0]["path"] == "zebra.md"
            assert found["structuredContent"]["coverage"] == 1.0
