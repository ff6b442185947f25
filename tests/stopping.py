"""Processes that hang, as their callers see it."""

import os
import signal
from contextlib import contextmanager


@contextmanager
def stopped(*actors):
    """Stop processes while the block lasts: calls to them hang, and nothing tells of it."""
    for actor in actors:
        os.kill(actor.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for actor in actors:
            os.kill(actor.pid, signal.SIGCONT)
