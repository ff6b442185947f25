"""The OpenAPI document describes what there is: every route, its bodies, its errors, its scope."""

from types import SimpleNamespace

import pytest

from actors.errors import BY_NAME
from mcp_adapter.app import create_app
from mcp_adapter.door import PROBES, Guard
from mcp_adapter.openapi import ERRORS, document
from mcp_adapter.scopes import Keys

METHODS = {"get", "put", "post", "delete"}


@pytest.fixture(scope="module")
def app():
    return create_app(SimpleNamespace(), Guard(Keys("own")), lambda: None)


@pytest.fixture(scope="module")
def described(app):
    return document(app)


def operations(described):
    return {(p, m): op for p, of in described["paths"].items() for m, op in of.items()}


def references(part):
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for below in part.values():
            yield from references(below)
    elif isinstance(part, list):
        for below in part:
            yield from references(below)


def test_every_route_is_described(app, described):
    """Those of MCP, of pages and of the document itself are no part of the protocol."""
    routes = {
        (context.path, method.lower())
        for context in app.routes
        for method in getattr(context, "methods", None) or ()
        if context.path.startswith("/v1/")
    }
    assert {("/v1/search", "post"), ("/v1/embeddings", "post")} <= routes
    assert {route for route in routes if route[1] in METHODS} <= operations(described).keys()


def test_every_reference_leads_somewhere(described):
    for reference in set(references(described)):
        part = described
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_a_search_is_described_though_fastapi_does_not_read_it(described):
    search = described["paths"]["/v1/search"]["post"]
    body = search["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    reply = search["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert (body, reply) == (
        "#/components/schemas/SearchBody",
        "#/components/schemas/SearchReply",
    )
    assert {"query", "mode", "limit"} <= described["components"]["schemas"]["SearchBody"][
        "properties"
    ].keys()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/v1/ingest", "application/x-ndjson"),
        ("/v1/files/missing", "application/x-ndjson"),
        ("/v1/files", "application/octet-stream"),
    ],
)
def test_bodies_that_are_streamed_are_described(described, path, media_type):
    body = described["paths"][path]["post"]["requestBody"]
    assert media_type in body["content"]
    assert "#/components/schemas/" in body["description"]


def test_every_status_of_an_error_is_described_for_every_operation(described):
    statuses = {str(kind.status) for kind in BY_NAME.values()} | {"413", "422", "429"}
    assert statuses == ERRORS.keys()
    for (path, _), operation in operations(described).items():
        if path not in PROBES:
            assert statuses <= operation["responses"].keys()


def test_errors_have_the_shape_that_clients_of_the_path_expect(described):
    responses = described["components"]["responses"]
    for status, shape in (("422", "Problem"), ("OpenAI422", "OpenAIProblem")):
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{shape}"}
    assert "Retry-After" in responses["429"]["headers"]
    embeddings = described["paths"]["/v1/embeddings"]["post"]["responses"]
    assert embeddings["422"] == {"$ref": "#/components/responses/OpenAI422"}


def test_each_operation_says_what_its_token_must_reach(described):
    found = operations(described)
    assert found["/v1/search", "post"]["security"] == [{"token": ["search"]}]
    assert found["/v1/index", "post"]["security"] == [{"token": ["index"]}]
    assert found["/v1/shutdown", "post"]["security"] == [{"token": ["admin"]}]
    assert found["/healthz", "get"]["security"] == []
