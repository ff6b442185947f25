"""The cluster's head dies and is away for 90 s: status tells the truth, and service comes back."""

import asyncio
import time

import pytest
from heads import Head
from host import environment, pipes

from cluster import daemon
from cluster.settings import Settings

AWAY_S = 90
ANSWER_S = 30
"""Hosts give up on a call after this."""


@pytest.fixture
def head(tmp_path_factory):
    made = Head(tmp_path_factory.mktemp("h"))
    made.start()
    yield made
    made.kill()


async def tool(server, number, name, **arguments):
    answer = await server.ask("tools/call", number, name=name, arguments=arguments)
    return answer["result"]


@pytest.mark.timeout(400)
async def test_status_answers_truthfully_meanwhile_and_searches_work_again(head, tmp_path):
    root = tmp_path / "root"
    (tmp_path / "zebra.md").write_text("# Zebra crossing\n")
    env = environment(tmp_path, SHOAL_ROOT=str(root), SHOAL_RAY_ADDRESS=head.address)
    async with pipes(env) as server:
        await server.shake_hands()
        await tool(server, 1, "index_path", path=str(tmp_path / "zebra.md"), collection="z")
        number = 100
        found = {}
        while not found.get("structuredContent", {}).get("hits"):
            number += 1
            found = await tool(server, number, "search", query="zebra")
        status = await tool(server, 2, "cluster_status")
        assert status["structuredContent"]["problem"] == ""

        head.kill()
        back_at = time.monotonic() + AWAY_S
        asked = 0
        while time.monotonic() < back_at:
            asked += 1
            answer = tool(server, 1000 + asked, "cluster_status")
            status = await asyncio.wait_for(answer, ANSWER_S)
            assert not status["isError"], status
            assert status["structuredContent"]["problem"], status
        assert asked > 3
        head.start()

        give_up = time.monotonic() + 90
        found = {}
        while not found.get("structuredContent", {}).get("hits"):
            assert time.monotonic() < give_up, found
            number += 1
            found = await tool(server, number, "search", query="zebra")
        status = await tool(server, 3, "cluster_status")
        assert status["structuredContent"]["problem"] == ""
    daemon.stop(Settings(root=str(root)))
