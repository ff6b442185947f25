"""What a piece of work cost in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.memory.watchdog.processes import status

_log = logging.getLogger("shoal.memory")
_MB = 1_000_000


class Tracks:
    """The blocks that are being measured, each with the most that was seen during it.

    Args:
        measure: Returns the bytes held now.
    """

    def __init__(self, measure: Callable[[], int]) -> None:
        self._measure = measure
        self._open: list[_Block] = []

    def saw(self, held: int) -> None:
        """Take note of a measurement that somebody else made."""
        for block in list(self._open):
            block.peak = max(block.peak, held)

    @contextmanager
    def track(self, label: str, level: int) -> Iterator[None]:
        """Log what the block added to what is held, and the peak within it."""
        block = _Block(self._measure())
        self._open.append(block)
        try:
            yield
        finally:
            self._open.remove(block)
            held = self._measure()
            block.end(held)
            _log.log(
                level,
                "%s: %+.1f MB, peak %.1f MB, now %.1f MB",
                label,
                (held - block.before) / _MB,
                block.peak / _MB,
                held / _MB,
            )


class _Block:
    def __init__(self, held: int) -> None:
        self.before = self.peak = held
        self._resident_peak = _own_status("VmHWM")

    def end(self, held: int) -> None:
        """Count a peak between two samples: the kernel keeps that of resident memory."""
        resident_peak = _own_status("VmHWM")
        if resident_peak > self._resident_peak:
            held += resident_peak - _own_status("VmRSS")
        self.peak = max(self.peak, held)


def _own_status(name: str) -> int:
    return status(os.getpid()).get(name, 0)
