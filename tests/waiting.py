"""Bounded waits for what another process does."""

import asyncio
import time

import psutil

BOUND_S = 60


def until(condition, bound_s=BOUND_S):
    """Return the first true value of `condition`."""
    give_up = time.monotonic() + bound_s
    while not (found := condition()):
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.05)
    return found


async def eventually(condition):
    """Return the first true value of `condition`, and let others work meanwhile."""
    give_up = time.monotonic() + BOUND_S
    while not (found := condition()):
        assert time.monotonic() < give_up, "it did not happen in time"
        await asyncio.sleep(0.02)
    return found


def runs(process):
    """Tell whether a process still does something; a zombie does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
