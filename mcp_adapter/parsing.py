"""JSON bodies of FastAPI's routes, read by the parser that all others are read by.

Python's own reads NaN, and goes as deep as the interpreter's stack allows; pydantic's stops at 200
levels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json


class ParsedRoute(APIRoute):
    """A route whose body is read so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await answer(_ParsedRequest(request.scope, request.receive))

        return handler


class _ParsedRequest(Request):
    async def json(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error
