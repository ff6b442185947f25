"""Whose turn it is on the processors: searches come first."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

_BATCH_NICENESS = 10
_LEAST_NICE = 19
_AUTOGROUP = Path("/proc/self/autogroup")


def cores() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


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

    A kernel that shares the processors out by session first (autogrouping) heeds idleness within a
    session only: clients are in others, so the work gets a session of its own, as nice as can be.
    """
    step_back()
    if _AUTOGROUP.exists():
        _leave_session()
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _leave_session() -> None:
    with suppress(OSError):
        # Ray makes each process the leader of a group, and no leader may leave its session.
        os.setpgid(0, os.getpgid(os.getppid()))
        os.setsid()
    if os.getsid(0) == os.getpid():
        _be_nice_as_a_session()


def _be_nice_as_a_session() -> None:
    """Weigh this session least; the kernel takes one such wish in a tenth of a second.

    See `man 7 sched`, "The autogroup feature".
    """
    for _ in range(10):
        try:
            _AUTOGROUP.write_text(str(_LEAST_NICE))
        except OSError as error:
            if error.errno != errno.EAGAIN:
                return
            time.sleep(0.1)
        else:
            return
