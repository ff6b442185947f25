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
