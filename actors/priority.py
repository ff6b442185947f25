"""Whose turn it is on the processors: searches come first."""

from __future__ import annotations

import os

_BATCH_NICENESS = 10


def step_back() -> None:
    """Let every search on this machine go first, from now on; for those that run batch work.

    Linux counts niceness by thread, and a new thread has that of the one that makes it; elsewhere
    the whole process steps back.
    """
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, _BATCH_NICENESS)


def stand_aside() -> None:
    """Take only what the processors have left, from now on; for processes of batch work alone.

    Under Linux a search still waits for the end of a slice of nicer work, some milliseconds at each
    of its hops; idle work is put aside at once. Where other work fills all processors it gets
    nearly nothing, so nobody may wait for it: no thread beside those of searches, no lock.
    """
    step_back()
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
