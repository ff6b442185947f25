"""Completion of collections and languages, where prompts and resources ask for them."""

from __future__ import annotations

from collections.abc import Iterable

from mcp.server import MCPServer
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from actors.errors import ShoalError
from cluster.ingest.languages import LANGUAGES
from cluster.operations import AsyncOperations
from mcp_adapter import prompts, resources

_MOST = 100
"""Of values in an answer, by the protocol."""


def register(server: MCPServer, shoal: AsyncOperations) -> None:
    """Have a server complete."""

    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion:
        return _starting(argument.value, await _known(ref, argument.name))

    async def _known(ref: PromptReference | ResourceTemplateReference, name: str) -> Iterable[str]:
        of_prompt = isinstance(ref, PromptReference) and ref.name == prompts.NAME
        of_resource = isinstance(ref, ResourceTemplateReference) and ref.uri == resources.COLLECTION
        if of_prompt and name == "language":
            return LANGUAGES
        if (of_prompt and name == "collection") or (of_resource and name == "name"):
            return await _collections(shoal)
        return ()

    server.completion()(complete)  # type: ignore[no-untyped-call]


async def _collections(shoal: AsyncOperations) -> Iterable[str]:
    """Return the names of all collections; none where nobody answers: one types on."""
    try:
        return sorted(found.name for found in await shoal.collections())
    except ShoalError:
        return ()


def _starting(typed: str, known: Iterable[str]) -> Completion:
    found = [value for value in known if value.startswith(typed.lower())]
    return Completion(values=found[:_MOST], total=len(found), has_more=len(found) > _MOST)
