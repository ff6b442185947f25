"""The one way out of every tool and resource: text and structure in which nothing is hidden."""

from __future__ import annotations

from typing import Any

from mcp.types import CallToolResult, TextContent

from cluster.visible import visible
from mcp_adapter.answers import Answer


def result(text: str, answer: Answer) -> CallToolResult:
    """Return an answer in both forms."""
    return CallToolResult(
        content=[TextContent(type="text", text=visible(text))],
        structured_content=_visible(answer.model_dump(mode="json")),
    )


def _visible(value: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return list(map(_visible, value))
    if isinstance(value, dict):
        return {visible(key): _visible(part) for key, part in value.items()}
    return value
