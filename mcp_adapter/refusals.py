"""Errors as a model can act on them: what is wrong, what is valid, which tool comes next.

Only the text of a `ToolError` reaches a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import Prompt
from pydantic import ValidationError

from actors.errors import (
    Conflict,
    CorruptData,
    DeadlineExceeded,
    Forbidden,
    GatewayUnavailable,
    InvalidRequest,
    LimitExceeded,
    MemoryLimitExceeded,
    ModelLoadError,
    ModelMismatch,
    NotFound,
    Overloaded,
    ReplicaLost,
    ShoalError,
    StorageError,
    Unauthorized,
)

_REINDEX = "Make the collection again: index_path with a new collection name, then search that."
_NEXT: Mapping[type[ShoalError], str] = {
    NotFound: "list_collections names what is indexed; index_path adds a folder.",
    InvalidRequest: "Correct the arguments and call again.",
    LimitExceeded: "Call again with less: a shorter query, a smaller limit, one folder at a time.",
    Overloaded: "Nothing was done; call again later.",
    DeadlineExceeded: "Call again with fewer collections; cluster_status says what is slow.",
    ModelMismatch: _REINDEX,
    Conflict: "Another job changed the collection first; call again.",
    CorruptData: _REINDEX,
    StorageError: "Tell the user: the storage has to be repaired before calling again.",
    ModelLoadError: "mode='lexical' searches without a model; cluster_status says what is wrong.",
    MemoryLimitExceeded: "mode='lexical' searches without a model; cluster_status has limits.",
    ReplicaLost: "Call again once; cluster_status says why they died.",
    GatewayUnavailable: "Call again once; if that fails, tell the user.",
    Unauthorized: "Tell the user to set SHOAL_TOKEN; calling again does not help.",
    Forbidden: "Tell the user: token or gateway do not allow it; calling again does not help.",
    ShoalError: "cluster_status says more.",
}


@contextmanager
def as_tool_errors(hint: str = "") -> Iterator[None]:
    """Turn every error of Shoal into a `ToolError`.

    Args:
        hint: What to do where something was not found, in place of what fits a search.
    """
    try:
        yield
    except NotFound as error:
        raise ToolError(f"{_said(error)} {hint or _NEXT[NotFound]}") from error
    except ShoalError as error:
        raise ToolError(f"{_said(error)} {_next(error)}") from error
    except ValidationError as error:
        raise ToolError(f"{complaints(error)}. {_NEXT[InvalidRequest]}") from error


def complaints(error: ValidationError) -> str:
    """Return what is wrong with each value, in one line."""
    return "; ".join(
        f"{'.'.join(map(str, found['loc'])) or 'arguments'}: {found['msg']}"
        for found in error.errors(include_url=False, include_input=False, include_context=False)
    )


def check_arguments(tool: str, schema: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse arguments that a tool does not have; the SDK would ignore them in silence.

    Raises:
        ToolError: Names those that it has, or what is wrong with text that is none.
    """
    try:
        json.dumps(given, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError) as error:
        message = "The arguments hold half a character (a lone surrogate), or are nested too deep."
        raise ToolError(f"{message} {usage(tool, schema)}") from error
    valid = schema.get("properties", {})
    unknown = [name for name in given if name not in valid]
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise ToolError(f"{tool} has no argument {names}. {usage(tool, schema)}")


def check_prompt(prompts: Sequence[Prompt], name: str, given: Mapping[str, Any]) -> str:
    """Return what is wrong with a wish for a prompt, and what is valid; "" for nothing."""
    arguments = {prompt.name: prompt.arguments or [] for prompt in prompts}
    if name not in arguments:
        return f"There is no prompt {name!r}. Prompts: {', '.join(arguments)}."
    valid = {argument.name: argument.required for argument in arguments[name]}
    wrong = [f"no argument {other!r}" for other in given if other not in valid]
    wrong += [
        f"need of {other!r}" for other, needed in valid.items() if needed and other not in given
    ]
    return f"{name} has {', '.join(wrong)}. Its arguments: {', '.join(valid)}." if wrong else ""


def usage(tool: str, schema: Mapping[str, Any]) -> str:
    """Return the names of a tool's arguments in a sentence."""
    required = schema.get("required", ())
    valid = [f"{n} (required)" if n in required else n for n in schema.get("properties", {})]
    return f"Arguments of {tool}: {', '.join(valid) or 'none'}."


def _said(error: ShoalError) -> str:
    message = error.message.rstrip(".")
    if error.retry_after_s is None:
        return f"{message}."
    return f"{message}. Try again in {error.retry_after_s:g} s."


def _next(error: ShoalError) -> str:
    return next(_NEXT[kind] for kind in type(error).__mro__ if kind in _NEXT)
