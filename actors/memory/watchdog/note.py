"""What a watchdog leaves for an actor's successor."""

from __future__ import annotations

import os
import time


def write_note(
    path: str, doing: tuple[str, str], reason: str, pss: int, peak: int, limit: int
) -> None:
    """Write a death note as JSON, in one step.

    Args:
        path: Where to.
        doing: What `read_doing` returned.
        reason: "limit", "kernel" or "allocation".
        pss: Bytes held when last seen.
        peak: The most bytes seen.
        limit: The limit in bytes.
    """
    deaths, label = doing
    text = (
        f'{{"reason": "{reason}", "doing": {label}, "pss": {pss}, "peak": {peak}, '
        f'"limit": {limit}, "at": {time.time()}, "deaths": {int(deaths) + 1}}}'
    )
    partial = f"{path}.{os.getpid()}"
    with open(partial, "w", encoding="ascii") as file:
        file.write(text)
    os.replace(partial, path)


def read_doing(path: str) -> tuple[str, str]:
    """Return how often in a row the actor's kind died before, and its label as a JSON string."""
    try:
        with open(path, encoding="ascii") as file:
            deaths, _, label = file.readline().strip().partition(" ")
    except OSError:
        return "0", '""'
    return deaths, label
