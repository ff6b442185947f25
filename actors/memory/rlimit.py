"""Caps on what one process may allocate (RLIMIT_DATA), which only Linux counts in this way."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from actors.memory.watchdog.processes import status

if sys.platform != "win32":
    import resource

_FATAL = ("SIGABRT", "SIGBUS", "SIGSEGV")


def ran_out(error: Exception) -> bool:
    """Tell whether this is what Python or the system raise where an allocation failed."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )


@contextmanager
def data_limit(headroom_bytes: int) -> Iterator[None]:
    """Cap what this process may allocate while the block runs, over what it holds already.

    Past the cap allocations fail: Python and NumPy raise MemoryError, C libraries mostly abort.
    What counts is what was asked for, touched or not (VmData), and mapped files do not. The cap
    is the process's own soft RLIMIT_DATA, so it can be lifted again; only Linux counts this way,
    elsewhere nothing is capped.
    """
    if sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    cap_data(headroom_bytes)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def cap_data(headroom_bytes: int) -> int:
    """Cap this process, and each child it makes from now on, until `uncap_data`.

    A thread made later counts with its whole stack (8 MB): fix their number before.

    Returns:
        The cap in bytes of VmData: what is asked for already and the headroom, or less where a
        lower one stood.
    """
    _die_plainly()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    cap = status(os.getpid())["VmData"] + headroom_bytes
    cap = min(limit for limit in (cap, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (cap, hard))
    return cap


def uncap_data() -> None:
    """Lift the soft cap again."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _die_plainly() -> None:
    """End at once on a fatal signal: Ray's handler allocates, and at the cap it never returns."""
    if threading.current_thread() is threading.main_thread():
        for name in _FATAL:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
