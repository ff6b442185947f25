"""One load at a time on a node: two that fit alone may not fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from actors.memory.folder import private_folder

_POLL_S = 0.05


@contextmanager
def load_gate(on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the node's gate while the block runs; blocks until it is free.

    The kernel opens it again when its holder dies.

    Args:
        on_wait: Called once if somebody else is loading.
    """
    lock = FileLock(private_folder() / "load.lock", poll_interval=_POLL_S)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
