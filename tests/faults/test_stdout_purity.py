"""Whatever logs, warns, crashes and starts again below: a host reads JSON-RPC and nothing else."""

import asyncio
import os
import signal
import sys

import psutil
import pytest
from host import pipes
from waiting import runs, until

from cluster import daemon
from cluster.client import AsyncShoalClient
from cluster.settings import Settings

CALLS, AT_ONCE = 1_000, 8
KILLED = ("Embedder", "ShardHost", "Router", "Steward", "gateway")
NOISY = """
import logging, sys, threading, warnings
from mcp_adapter import conversation, stdio
begin = logging.basicConfig
def basicConfig(**options):
    begin(**{**options, "level": logging.DEBUG})
    def chatter():
        print("printed")
        warnings.warn("warned")
        logging.getLogger("chatter").warning("logged")
        again = threading.Timer(0.01, chatter)
        again.daemon = True
        again.start()
    chatter()
logging.basicConfig = basicConfig
warnings.simplefilter("always")
stdio.run()
"""


@pytest.fixture
def env(tmp_path, monkeypatch):
    """Yield the environment of a server whose own gateway logs all that it can."""
    for name, value in {"SHOAL_ROOT": tmp_path / "root", "SHOAL_LOG_LEVEL": "debug"}.items():
        monkeypatch.setenv(name, str(value))
    yield dict(os.environ)
    settings = Settings()
    running = daemon.find(settings)
    family = [running.process, *running.process.children(recursive=True)] if running else []
    daemon.stop(settings)
    until(lambda: not [process for process in family if runs(process)])


async def ended(kind):
    """Kill one actor, or the gateway, and return its process id."""
    if kind == "gateway":
        victim = daemon.find(Settings()).process.pid
    else:
        async with AsyncShoalClient() as shoal:
            status = await shoal.status()
        victim = next(replica.pid for replica in status.replicas if replica.kind == kind)
    os.kill(victim, signal.SIGKILL)
    return victim


async def heard_all(server, asked, every, act):
    """Ask so many times, so many at once, and return each answer by its number.

    Args:
        server: A host's pipes.
        asked: Returns the request of a number.
        every: After so many answers, `act` is called with the next of `KILLED`.
        act: Does its worst.
    """
    answers, doing, worst = {}, [], iter(KILLED)
    for number in range(1, AT_ONCE + 1):
        server.send(asked(number))
    while len(answers) < CALLS:
        line = await server.answer()
        if "method" in line:
            continue
        assert line["id"] not in answers
        answers[line["id"]] = line
        if len(answers) % every == 0 and (kind := next(worst, None)):
            doing.append(asyncio.create_task(act(kind)))
        if (following := len(answers) + AT_ONCE) <= CALLS:
            server.send(asked(following))
    return answers, await asyncio.gather(*doing)


@pytest.mark.timeout(400)
async def test_a_thousand_calls_while_actors_log_crash_and_restart_are_all_json_rpc(env, folder):
    def asked(number):
        params = {"name": "search", "arguments": {"query": f"evict {number}"}}
        return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}

    async with pipes(env, sys.executable, "-c", NOISY) as server:
        drained = asyncio.create_task(server.process.stderr.read())
        await server.shake_hands()
        async with AsyncShoalClient() as shoal:
            await shoal.wait(await shoal.index([str(folder)], collection="kept"))
        answers, killed = await heard_all(server, asked, CALLS // (len(KILLED) + 2), ended)
        server.process.stdin.close()
        await server.ended()
        said = (await drained).decode()

    assert sorted(answers) == list(range(1, CALLS + 1))
    assert all(message["jsonrpc"] == "2.0" for message in answers.values())
    assert not [pid for pid in killed if psutil.pid_exists(pid) and runs(psutil.Process(pid))]
    assert not answers[CALLS]["result"]["isError"]
    assert {"printed", "logged"} <= set(said.replace(":", " ").split())
