"""How memory is measured, capped, watched and given back; no other package knows."""

from actors.memory.actor import ActorMemory
from actors.memory.budget import (
    FLOOR,
    REPLICA_LEAST,
    Budgets,
    NodeMemory,
    limit_for,
    plan_budgets,
    room_for_actors,
)
from actors.memory.enforce import Enforcement
from actors.memory.gate import load_gate
from actors.memory.measure import give_back, give_back_files, node_memory
from actors.memory.notes import DeathNote
from actors.memory.rlimit import data_limit, ran_out
from actors.memory.status import MemoryStatus, Pressure, Watermarks

__all__ = [
    "FLOOR",
    "REPLICA_LEAST",
    "ActorMemory",
    "Budgets",
    "DeathNote",
    "Enforcement",
    "MemoryStatus",
    "NodeMemory",
    "Pressure",
    "Watermarks",
    "data_limit",
    "give_back",
    "give_back_files",
    "limit_for",
    "load_gate",
    "node_memory",
    "plan_budgets",
    "ran_out",
    "room_for_actors",
]
