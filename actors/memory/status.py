"""How an actor's memory stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Pressure(StrEnum):
    """How near to the limit."""

    OK = "ok"
    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Shares of the limit from which on memory is short.

    Attributes:
        soft: Caches are dropped, batches halved, other replicas preferred.
        hard: New work is refused.
    """

    soft: float = 0.80
    hard: float = 0.95

    def pressure(self, pss: int, limit: int) -> Pressure:
        """Return how short memory is at `pss` of `limit` bytes."""
        if pss >= self.hard * limit:
            return Pressure.HARD
        return Pressure.SOFT if pss >= self.soft * limit else Pressure.OK


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """One measurement of a process and its children.

    Attributes:
        pss: Bytes that they hold: private ones, and their part of what is shared.
        peak: The most of those so far.
        limit: Bytes that they may hold.
        pressure: How near that is.
        enforcement: What holds them to it ("cgroup v1 + watchdog").
    """

    pss: int
    peak: int
    limit: int
    pressure: Pressure
    enforcement: str
