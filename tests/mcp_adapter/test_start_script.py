from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import psutil
import pytest
from host import BOUND_S, environment, pipes

SCRIPT = Path(__file__).parents[2] / "scripts" / "start-mcp-server.sh"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a POSIX shell and prlimit")


async def test_the_script_starts_the_server_within_its_limit(tmp_path):
    env = environment(tmp_path, SHOAL_MCP_MEMORY_MB="300")
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"

    async with pipes(env, str(SCRIPT)) as server:
        about = await server.shake_hands()
        soft, hard = psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_DATA)

    assert about["serverInfo"]["name"] == "shoal"
    assert soft == 300 << 20
    assert hard != soft


@pytest.mark.parametrize(
    ("settings", "status", "complaint"),
    [
        ({"SHOAL_MCP_MEMORY_MB": "1g"}, 2, "SHOAL_MCP_MEMORY_MB is '1g'"),
        ({}, 127, "shoal is not installed"),
    ],
)
async def test_the_script_says_on_stderr_what_it_lacks(tmp_path, settings, status, complaint):
    scripts = tmp_path / "project" / "scripts"
    scripts.mkdir(parents=True)
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname"):
        (tools / tool).symlink_to(shutil.which(tool))
    shutil.copy(SCRIPT, scripts)

    env = environment(tmp_path, PATH=str(tools), **settings)
    async with pipes(env, str(scripts / SCRIPT.name)) as script:
        said, complained = await asyncio.wait_for(script.process.communicate(), BOUND_S)

    assert script.process.returncode == status
    assert said == b""
    assert complaint in complained.decode()
