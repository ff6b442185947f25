"""Whose request is being worked on: carried in messages, and known to all that it calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from actors.message import Message


@dataclass(frozen=True, slots=True)
class Origin(Message):
    """Where some work comes from.

    Attributes:
        request_id: Names the request in the logs of every process; several, for a batch, are
            separated by commas; "" for work of our own.
        traceparent: The span that asked for it, as W3C Trace Context writes it, or "".
    """

    request_id: str = ""
    traceparent: str = ""


NOBODY = Origin()
"""Of work that no request asked for."""
_current: ContextVar[Origin] = ContextVar("origin", default=NOBODY)


def current() -> Origin:
    """Return the origin of what the calling task or thread does."""
    return _current.get()


@contextmanager
def working_for(origin: Origin) -> Iterator[Origin]:
    """Let the block, and all tasks that it starts, work for an origin."""
    token = _current.set(origin)
    try:
        yield origin
    finally:
        _current.reset(token)


def joined(origins: Sequence[Origin]) -> Origin:
    """Return one origin for a batch: all its requests, and the span of the first that has one."""
    requests = dict.fromkeys(origin.request_id for origin in origins if origin.request_id)
    spans = (origin.traceparent for origin in origins if origin.traceparent)
    return Origin(",".join(requests), next(spans, ""))
