"""The Inspector's command line, whose --strict looks closely at all that a server lists."""

import json

import pytest
from host import COMMAND
from stub_gateway import a_hit

INSPECTOR = "node_modules/.bin/mcp-inspector"
SEARCH = ("--method", "tools/call", "--tool-name", "search", "--tool-args-json")


@pytest.fixture(params=["stdio", "http", "http, stateless"])
def inspect(request, node, plain):
    """Return what runs the Inspector against our server and returns what it prints."""
    http = plain + ("/mcp/stateless" if "stateless" in request.param else "/mcp")
    server = (http, "--transport", "http")
    if request.param == "stdio":
        server = (*COMMAND, "-e", f"SHOAL_URL={plain}")  # it passes none of its own variables on

    def run(*arguments):
        return node(INSPECTOR, "--cli", *server, *arguments)

    return run


def test_what_is_listed_is_strictly_right(inspect):
    done = inspect("--method", "tools/list", "--strict")

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"search"' in done.stdout


def test_a_tool_is_called(inspect):
    done = inspect(*SEARCH, json.dumps({"query": "admit"}), "--format", "json", "-q")

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"]["structuredContent"]["hits"][0]["path"] == a_hit().path
