"""Bounded waits for what another process does."""

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


def runs(process):
    """Tell whether a process still does something; a zombie does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
