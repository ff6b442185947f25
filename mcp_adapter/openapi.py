"""The OpenAPI document: what FastAPI reads off its routes, and what it cannot see there.

That is: routes past FastAPI, bodies that are streamed, tokens and their scopes, and errors.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic.warnings import UnsupportedFieldAttributeWarning

from cluster.protocol import (
    ClientFile,
    EndOfFiles,
    IngestChunk,
    Problem,
    SearchBody,
    SearchReply,
)
from mcp_adapter.door import PROBES
from mcp_adapter.openai import EmbeddingsBody, EmbeddingsReply
from mcp_adapter.problems import OPENAI_PATHS, OpenAIProblem
from mcp_adapter.scopes import needed

_Json = dict[str, Any]
_METHODS = ("get", "put", "post", "delete")
_REF = "#/components/schemas/{model}"
_LINES = "application/x-ndjson"
_TOKEN = "token"  # noqa: S105 - the name of the security scheme

ERRORS = {
    "400": "What is asked for cannot be.",
    "401": "The bearer token is missing or wrong.",
    "403": "The token's scope, the Host or Origin, or the roots to index from do not allow it.",
    "404": "A collection, job, model or path does not exist.",
    "409": "Another writer was first, or vectors of different models would be compared.",
    "413": "It is larger than Shoal takes.",
    "422": "A field has a value that cannot be; `field` says which.",
    "429": "Too much is asked for; come back after Retry-After.",
    "500": "What was read from storage is not what was written.",
    "503": "What would answer is not there, or has no memory for it; mostly it is worth a retry.",
    "504": "Time ran out before there was anything to answer.",
    "507": "The root cannot be read or written.",
}
_ASKS_SOMETHING = [
    {"required": ["query"], "properties": {"query": {"pattern": r"\S"}}},
    {"required": ["vector", "mode"], "properties": {"mode": {"const": "semantic"}}},
]
"""What a validator of `SearchBody` asks for, which pydantic's schema cannot tell."""
_LATER = ("429", "503", "504")
_RETRY_AFTER = {
    "description": "Seconds after which a retry is worth it.",
    "schema": {"type": "integer"},
}


class ByHand(NamedTuple):
    """An operation past FastAPI: what it takes and what it answers."""

    summary: str
    body: type[BaseModel]
    reply: type[BaseModel]


BY_HAND = {
    "/v1/search": ByHand("Search collections.", SearchBody, SearchReply),
    "/v1/embeddings": ByHand("Embed texts, as OpenAI's API does.", EmbeddingsBody, EmbeddingsReply),
}


class Streamed(NamedTuple):
    """A body that is read as it comes: what it consists of, and how that is called."""

    media_type: str
    parts: tuple[type[BaseModel], ...]
    description: str


STREAMED = {
    "/v1/ingest": Streamed(_LINES, (IngestChunk,), "Chunks, one JSON document a line."),
    "/v1/files/missing": Streamed(
        _LINES, (ClientFile,), "Descriptions of files, one JSON document a line."
    ),
    "/v1/files": Streamed(
        "application/octet-stream",
        (ClientFile, EndOfFiles),
        "A line of JSON for each file (ClientFile), its bytes behind it where it is `sent`, and a "
        "last line (EndOfFiles).",
    ),
}


async def openapi(request: Request) -> JSONResponse:
    """Return the document; made when it is first asked for, which takes half a second."""
    app: FastAPI = request.app
    if app.openapi_schema is None:
        app.openapi_schema = await asyncio.to_thread(document, app)
    return JSONResponse(app.openapi_schema)


def document(app: FastAPI) -> _Json:
    """Make the document."""
    version = importlib.metadata.version("shoal")
    with warnings.catch_warnings():  # as FastAPI does, for types that are built at once
        warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
        made = get_openapi(title=app.title, version=version, routes=app.routes)
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for name, schema in _schemas().items():
        schemas.setdefault(name, schema)
    made["components"]["responses"] = dict(_error_responses())
    made["components"]["securitySchemes"] = {_TOKEN: {"type": "http", "scheme": "bearer"}}
    for path, by_hand in BY_HAND.items():
        made["paths"][path] = {"post": _by_hand(path, by_hand)}
    for path, streamed in STREAMED.items():
        made["paths"][path]["post"]["requestBody"] = _streamed(streamed)
    for path, method, operation in _operations(made):
        _complete(path, method, operation)
    _describe_texts(made["paths"])
    return made


def _operations(made: _Json) -> Iterator[tuple[str, str, _Json]]:
    for path, methods in made["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield path, method, methods[method]


def _complete(path: str, method: str, operation: _Json) -> None:
    """Add to an operation who may ask for it, and how it fails."""
    if path in PROBES:
        operation["security"] = []
        return
    scope = needed(method.upper(), path).name.lower()
    operation["security"] = [{_TOKEN: [scope]}]
    operation["description"] = f"{operation.get('description', '')}\n\nScope: {scope}.".strip()
    prefix = "OpenAI" if path in OPENAI_PATHS else ""
    for status in ERRORS:
        operation["responses"][status] = {"$ref": f"#/components/responses/{prefix}{status}"}


def _by_hand(path: str, known: ByHand) -> _Json:
    return {
        "summary": known.summary,
        "operationId": path.removeprefix("/v1/"),
        "requestBody": {"required": True, "content": {"application/json": _schema(known.body)}},
        "responses": {
            "200": {
                "description": known.reply.__doc__,
                "content": {"application/json": _schema(known.reply)},
            }
        },
    }


def _streamed(streamed: Streamed) -> _Json:
    """Return a body of any length: lines as OpenAPI 3.2 has them, an array, and else a text."""
    schema: _Json = {"type": "string"}
    if streamed.media_type == _LINES:
        (part,) = streamed.parts
        schema = {"type": "array", "items": _schema(part)["schema"]}
    parts = " ".join(f"`{_REF.format(model=part.__name__)}`" for part in streamed.parts)
    return {
        "required": True,
        "description": f"{streamed.description} See {parts}.",
        "content": {streamed.media_type: {"schema": schema}},
    }


def _describe_texts(paths: _Json) -> None:
    """Say what the routes answer that make their own responses."""
    paths["/metrics"]["get"]["responses"]["200"]["content"] = {
        "text/plain": {"schema": {"type": "string"}}
    }
    phase = {"type": "object", "required": ["phase"], "properties": {"phase": {"type": "string"}}}
    content = {"application/json": {"schema": phase}}
    paths["/readyz"]["get"]["responses"] = {
        "200": {"description": "The cluster serves.", "content": content},
        "503": {"description": "It does not serve yet, or cannot.", "content": content},
    }


def _schemas() -> _Json:
    """Return the schemas that no route of FastAPI names."""
    replies: list[type[BaseModel]] = [SearchReply, EmbeddingsReply, Problem, OpenAIProblem]
    bodies: list[type[BaseModel]] = [SearchBody, EmbeddingsBody]
    bodies += [part for streamed in STREAMED.values() for part in streamed.parts]
    named = [(model, "serialization") for model in replies]
    named += [(model, "validation") for model in bodies]
    _, found = models_json_schema(named, ref_template=_REF)  # type: ignore[arg-type]
    schemas: _Json = found["$defs"]
    schemas["SearchBody"]["anyOf"] = _ASKS_SOMETHING
    return schemas


def _error_responses() -> Iterator[tuple[str, _Json]]:
    for prefix, shape in (("", Problem), ("OpenAI", OpenAIProblem)):
        for status, description in ERRORS.items():
            response: _Json = {
                "description": description,
                "content": {"application/json": _schema(shape)},
            }
            if status in _LATER:
                response["headers"] = {"Retry-After": _RETRY_AFTER}
            yield prefix + status, response


def _schema(model: type[BaseModel]) -> _Json:
    return {"schema": {"$ref": _REF.format(model=model.__name__)}}
