"""Which segments are open, who uses them, and which may be closed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

_S = TypeVar("_S")


@dataclass(slots=True)
class _Entry(Generic[_S]):
    segment: _S
    users: int = 0


class OpenSegments(Generic[_S]):
    """Segments by id, the least used first; for several threads.

    Attributes:
        hits: How often one that was asked for was open.
        opens: How many were opened so far.
        closes: How many were closed.
    """

    def __init__(self) -> None:
        self.hits = self.opens = self.closes = 0
        self._entries: OrderedDict[str, _Entry[_S]] = OrderedDict()
        self._lock = Lock()
        self._opening = Lock()

    @contextmanager
    def using(self, ids: Sequence[str], open_one: Callable[[str], _S]) -> Iterator[list[_S]]:
        """Open what is not, one at a time, and keep all of them open while the block runs."""
        entries: list[_Entry[_S]] = []
        try:
            for name in ids:
                entries.append(self._taken(name) or self._opened(name, open_one))  # noqa: PERF401 - what is taken is let go of, whatever happens
            yield [entry.segment for entry in entries]
        finally:
            with self._lock:
                for entry in entries:
                    entry.users -= 1

    def close_least_used(self) -> bool:
        """Close the segment whose last use is longest ago, of those not in use; tell if any was."""
        with self._lock:
            name = next((name for name, entry in self._entries.items() if not entry.users), None)
            if name is None:
                return False
            self._close(name)
            return True

    def close_idle(self) -> None:
        """Close every segment that is not in use."""
        while self.close_least_used():
            pass

    def keep_only(self, ids: frozenset[str]) -> None:
        """Forget every other segment; one in use is closed when its last user is done."""
        with self._lock:
            for name in set(self._entries) - ids:
                self._close(name)

    def get(self, name: str) -> _S | None:
        """Return a segment if it is open, which is no use of it."""
        entry = self._entries.get(name)
        return None if entry is None else entry.segment

    def all(self) -> list[_S]:
        """Return what is open, the least used first."""
        with self._lock:
            return [entry.segment for entry in self._entries.values()]

    def _taken(self, name: str) -> _Entry[_S] | None:
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None:
                self.hits += 1
                self._entries.move_to_end(name)
                entry.users += 1
            return entry

    def _opened(self, name: str, open_one: Callable[[str], _S]) -> _Entry[_S]:
        with self._opening:
            known = self._taken(name)
            if known is not None:
                return known
            entry = _Entry(open_one(name), users=1)
            with self._lock:
                self._entries[name] = entry
                self.opens += 1
            return entry

    def _close(self, name: str) -> None:
        del self._entries[name]
        self.closes += 1
