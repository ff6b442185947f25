"""How memory is measured, capped and given back; no other file knows."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

if sys.platform != "win32":
    import resource

_FATAL = ("SIGABRT", "SIGBUS", "SIGSEGV")


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
    _die_plainly()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    cap = psutil.Process().memory_info().data + headroom_bytes
    allowed = [limit for limit in (cap, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(allowed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def give_back() -> None:
    """Return freed memory to the system: glibc and Arrow keep what a large batch needed."""
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _die_plainly() -> None:
    """End at once on a fatal signal: Ray's handler allocates, and at the cap it never returns."""
    if threading.current_thread() is threading.main_thread():
        for name in _FATAL:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
