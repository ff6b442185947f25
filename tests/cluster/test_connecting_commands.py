"""`shoal mcp install`: what it writes starts a server that answers."""

import json
import os
import tomllib

import pytest
from command import run_shoal
from host import pipes

FILES = {
    "claude-code": ".mcp.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
    "codex": ".codex/config.toml",
}


@pytest.fixture
def env(tmp_path):
    moved = ("SHOAL_", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME")
    own = {k: v for k, v in os.environ.items() if not k.startswith(moved)}
    return {**own, "HOME": str(tmp_path)}


def entry_in(file):
    text = file.read_text()
    document = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    (table,) = document.values()
    return table["shoal"]


@pytest.mark.parametrize("client", FILES)
async def test_what_is_written_starts_a_server_that_answers(client, env, tmp_path):
    chosen = ("--client", client, "--scope", "project")
    root = str(tmp_path / "root")
    done = run_shoal("mcp", "install", *chosen, "--root", root, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    entry = entry_in(tmp_path / FILES[client])
    assert str(tmp_path / FILES[client]) in done.stdout
    assert entry["env"] == {"SHOAL_ROOT": root}
    async with pipes({**env, **entry["env"]}, entry["command"], *entry["args"]) as server:
        assert (await server.shake_hands())["serverInfo"]["name"] == "shoal"
    again = run_shoal("mcp", "install", *chosen, "--root", root, env=env, cwd=tmp_path)
    assert "has it already" in again.stdout
    run_shoal("mcp", "uninstall", *chosen, env=env, cwd=tmp_path)
    assert not (tmp_path / FILES[client]).exists()


def test_printing_writes_nothing_and_shows_where(env, tmp_path):
    done = run_shoal(
        "mcp",
        "install",
        "--client",
        "vscode",
        "--print",
        "--command",
        "shoal",
        env=env,
        cwd=tmp_path,
    )
    known = {"type": "stdio", "command": "shoal", "args": ["mcp"]}
    assert json.loads(done.stdout) == {"servers": {"shoal": known}}
    assert "Code/User/mcp.json" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_never_written_down(env, tmp_path):
    env = {**env, "SHOAL_TOKEN": "hush", "SHOAL_URL": "https://gateway.example"}
    done = run_shoal("mcp", "install", "--client", "cursor", env=env, cwd=tmp_path)
    assert "SHOAL_TOKEN" in done.stdout
    assert "hush" not in (tmp_path / ".cursor/mcp.json").read_text()
    assert entry_in(tmp_path / ".cursor/mcp.json")["env"] == {
        "SHOAL_URL": "https://gateway.example"
    }


def test_a_broken_file_is_misuse_with_the_way_out(env, tmp_path):
    (tmp_path / ".claude.json").write_text("{")
    done = run_shoal("mcp", "install", "--client", "claude-code", env=env, cwd=tmp_path)
    assert done.returncode == 2
    assert '"mcpServers"' in done.stderr
    assert (tmp_path / ".claude.json").read_text() == "{"
