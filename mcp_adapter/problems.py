"""Errors as the gateway answers them: a `Problem`, or what clients of OpenAI's API expect."""

from __future__ import annotations

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from actors.errors import (
    Forbidden,
    InvalidField,
    InvalidRequest,
    MemoryLimitExceeded,
    NotFound,
    Overloaded,
    ShoalError,
    Unauthorized,
)
from actors.origin import current
from cluster.protocol import Problem

OPENAI_PATHS = ("/v1/embeddings",)
_MALFORMED = "json_invalid"
"""What pydantic and FastAPI call a body that is no JSON at all."""
_TOO_DEEP = "recursion limit"
_PARTS = ("body", "query", "path", "header")
"""Of a request, by which FastAPI begins the names of its fields."""
_OPENAI_CODES: dict[type[ShoalError], str] = {
    Unauthorized: "invalid_api_key",
    Forbidden: "insufficient_permissions",
    NotFound: "model_not_found",
    Overloaded: "rate_limit_exceeded",
    MemoryLimitExceeded: "memory_limit_exceeded",
    InvalidField: "invalid_value",
}
_TOO_MANY, _SERVERS_FAULT = 429, 500


class OpenAIError(BaseModel):
    """What went wrong, and over which field."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIProblem(BaseModel):
    """An error as OpenAI's API tells it."""

    error: OpenAIError


def problem_response(
    error: ShoalError, path: str = "", *, field: str = "", status: int | None = None
) -> JSONResponse:
    """Return an error as it travels.

    Args:
        error: What happened.
        path: What was asked for; it decides the shape.
        field: The field of the request that is wrong, if it is one.
        status: The HTTP status where it is not the error's own.
    """
    status, retry = status or error.status, error.retry_after_s
    headers = {} if retry is None else {"Retry-After": str(max(1, round(retry)))}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    body: BaseModel
    if path in OPENAI_PATHS:
        body = _as_openai(error, field, status)
    else:
        body = Problem(
            error=type(error).__name__,
            message=str(error),
            retry_after_s=retry,
            request_id=current().request_id,
            field=field,
        )
    return JSONResponse(body.model_dump(), status, headers)


def _as_openai(error: ShoalError, field: str, status: int) -> OpenAIProblem:
    kind = "server_error" if status >= _SERVERS_FAULT else "invalid_request_error"
    kind = "rate_limit_error" if status == _TOO_MANY else kind
    code = next((_OPENAI_CODES[k] for k in type(error).__mro__ if k in _OPENAI_CODES), None)
    told = OpenAIError(message=str(error), type=kind, param=field or None, code=code)
    return OpenAIProblem(error=told)


async def shoal_error(request: Request, error: Exception) -> JSONResponse:
    """Answer with an error that was raised on purpose."""
    known = error if isinstance(error, ShoalError) else ShoalError(str(error))
    return problem_response(known, request.scope["path"])


async def invalid(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that validation refused: 400 where it is no JSON, else 422 and the field."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    reason = str(first.get("msg", error)).removeprefix("Value error, ")
    if first.get("type") == _MALFORMED:
        said = str(first.get("ctx", {}).get("error", reason))
        what = "is nested too deeply" if _TOO_DEEP in said else "is no JSON"
        return problem_response(InvalidRequest(f"the body {what}: {said}"), request.scope["path"])
    loc = tuple(map(str, first.get("loc", ())))
    field = ".".join(loc[1:] if loc[1:] and loc[0] in _PARTS else loc)
    refusal = InvalidField(f"{field}: {reason}" if field else reason)
    return problem_response(refusal, request.scope["path"], field=field)


async def http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework refuses by itself: an unknown path, another method."""
    status = error.status_code if isinstance(error, HTTPException) else ShoalError.status
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    kind = NotFound if status == NotFound.status else InvalidRequest
    message = (
        f"{request.method} {request.scope['path']}: {detail}; /openapi.json says what there is"
    )
    answer = problem_response(kind(message), request.scope["path"], status=status)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer
