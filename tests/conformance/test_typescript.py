"""The TypeScript clients, which most hosts are made of: 1.x, and 2.x in either era."""

import os

import pytest
from host import COMMAND
from stub_gateway import a_hit

VERSIONS = {"sdk": "2025-11-25", "client": "2025-11-25", "modern": "2026-07-28"}
FIRST_TOOLS = ["search", "index_path", "job_status"]


@pytest.mark.parametrize("package", VERSIONS)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/stateless"])
def test_a_client_lists_calls_hears_progress_reads_and_aborts_over_http(
    client, equipped, package, path
):
    told = client(package, equipped + path)

    assert told["version"] == VERSIONS[package]
    assert [tool for tool in told["tools"] if tool in FIRST_TOOLS] == FIRST_TOOLS
    assert told["found"] == a_hit().path
    assert told["refused"]
    assert told["progress"] == [0, 50, 100]
    assert told["resource"] == "This is the content of the static text resource."
    assert told["prompt"] == "Prompt with arguments: arg1='a', arg2='b'"
    assert told["aborted"]
    assert told["cancelled"].endswith("were cancelled")


@pytest.mark.parametrize("package", VERSIONS)
def test_a_client_lists_calls_and_aborts_over_stdio(client, equipped, package):
    told = client(package, *COMMAND, env={**os.environ, "SHOAL_URL": equipped})

    assert [tool for tool in told["tools"] if tool in FIRST_TOOLS] == FIRST_TOOLS
    assert told["found"] == a_hit().path
    assert told["refused"]
    assert told["aborted"]
    assert told["cancelled"].endswith("were cancelled")
