"""`POST /v1/embeddings` as OpenAI's API has it, so that its clients work here unchanged."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator
from pydantic_core import to_json

from actors.engines.nested import check_cut
from actors.engines.pooling import unit
from actors.engines.registry import describe
from actors.errors import InvalidField, InvalidRequest
from actors.messages import Embeddings
from cluster.protocol import MAX_CHUNK_CHARS, MAX_TEXTS, EmbedBody, ListedModel, Model, Models
from cluster.service import Service
from mcp_adapter.door import caller_of, waited_s
from mcp_adapter.leaving import while_connected
from mcp_adapter.problems import problem_response

_DEADLINE_S = 120.0
"""A transformer on two cores takes half a minute for as many texts as there may be."""
Vectors = NDArray[np.float32]
_Text = Annotated[str, Field(min_length=1, max_length=MAX_CHUNK_CHARS)]
_TEXT_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_CHUNK_CHARS}
_INPUT_SCHEMA = {
    "description": "A text, or a list of texts; token ids are refused",
    "anyOf": [
        _TEXT_SCHEMA,
        {"type": "array", "items": _TEXT_SCHEMA, "minItems": 1, "maxItems": MAX_TEXTS},
    ],
}


class EmbeddingsBody(BaseModel):
    """Texts to embed, as OpenAI's API takes them."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    input: Annotated[
        tuple[_Text, ...],
        Field(min_length=1, max_length=MAX_TEXTS),
        WithJsonSchema(_INPUT_SCHEMA),
    ]
    model: str = Field("", description="A name of `GET /v1/models`; empty is the gateway's default")
    dimensions: int | None = Field(
        None, ge=1, le=65_536, description="Shorter vectors, of models that were trained for them"
    )
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="A list of numbers, or base64 of little-endian float32"
    )
    input_type: Literal["query", "document"] = Field(
        "document", description="Which prefix a model gets that tells queries from documents"
    )
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _texts(cls, given: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Return a list in any case; ValueError where it is of token ids."""
        if isinstance(given, list) and given and isinstance(given[0], int | list):
            message = (
                "token ids mean one model's own vocabulary; send texts (LangChain: "
                "check_embedding_ctx_length=False)"
            )
            raise ValueError(message)
        return [given] if isinstance(given, str) else given


class Embedding(BaseModel):
    """One vector of unit length."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """How many tokens the model read: prefix and special tokens count, what it cut off does not."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(BaseModel):
    """Vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


def listed(models: Iterable[Model]) -> Models:
    """Return models as OpenAI's API lists them; what is ours stands beside it."""
    return Models(data=tuple(ListedModel(**dict(model), id=model.name) for model in models))


async def embeddings(request: Request) -> Response:
    """Embed texts."""
    service: Service = request.app.state.service
    service.check_ready()
    try:
        body = EmbeddingsBody.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    try:
        model = await service.known_models.full_name(body.model)
        if body.dimensions:
            await asyncio.to_thread(_check_cut, model, body.dimensions)
    except InvalidField as error:
        return problem_response(error, request.scope["path"], field="dimensions")
    asked = EmbedBody(texts=body.input, kind=body.input_type, model=model, deadline_s=_DEADLINE_S)
    scope = request.scope
    embedding = service.embeddings(asked, caller_of(scope), waited_s(scope))
    found = await while_connected(request, embedding)
    return Response(_reply(body, model, found), media_type="application/json")


def _check_cut(model: str, dimension: int) -> None:
    try:
        check_cut(describe(model, offline=True), dimension)
    except InvalidRequest as error:
        raise InvalidField(str(error)) from error


def _reply(body: EmbeddingsBody, model: str, found: Embeddings) -> bytes:
    """Return the reply; written past pydantic's models, as it has a hundred thousand numbers."""
    vectors = found.vectors
    if body.dimensions and body.dimensions < vectors.shape[1]:
        vectors = unit(vectors, body.dimensions)
    rows = map(_packed, vectors) if body.encoding_format == "base64" else vectors.tolist()
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    tokens = sum(found.tokens)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return to_json({"object": "list", "data": data, "model": model, "usage": usage})


def _packed(row: Vectors) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
