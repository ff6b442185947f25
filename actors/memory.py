"""How memory is measured and capped; no other file knows."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform != "win32":
    import resource

_FATAL = ("SIGABRT", "SIGBUS", "SIGSEGV")


@contextmanager
def data_limit(limit_bytes: int) -> Iterator[None]:
    """Cap what this process may allocate while the block runs, baseline included.

    Past the cap allocations fail: Python and NumPy raise MemoryError, C libraries mostly abort.
    Mapped files do not count. The cap is the process's own soft RLIMIT_DATA, so it can be lifted
    again; Windows has no such limit, and nothing is capped there.
    """
    if sys.platform == "win32":
        yield
        return
    _die_plainly()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = [limit for limit in (limit_bytes, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(allowed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _die_plainly() -> None:
    """End at once on a fatal signal: Ray's handler allocates, and at the cap it never returns."""
    if threading.current_thread() is threading.main_thread():
        for name in _FATAL:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
