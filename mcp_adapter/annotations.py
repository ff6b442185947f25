"""What tools do to the world, as hosts are told it: whether they ask a person may depend on it."""

from __future__ import annotations

from mcp.types import ToolAnnotations

READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
WRITES = READS.model_copy(update={"read_only_hint": False})
DELETES = WRITES.model_copy(update={"destructive_hint": True})
