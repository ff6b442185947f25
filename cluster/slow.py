"""Searches that take long are logged, once, with where their time went."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from actors.messages import SearchRequest

_log = logging.getLogger("shoal.search")

SLOW_S = 1.0
"""Some fifty times a usual search on a laptop: something waited, loaded or was asked again."""


@contextmanager
def noted(request: SearchRequest, slow_s: float = SLOW_S) -> Iterator[dict[str, float]]:
    """Log a search at its end: as a warning where it was slow, else for debugging.

    What was asked for is not told, only how much of it.

    Args:
        request: The search.
        slow_s: From how many seconds on it is slow.

    Yields:
        What takes the milliseconds of its stages, once they are known.
    """
    timings_ms: dict[str, float] = {}
    failure = ""
    started = time.perf_counter()
    try:
        yield timings_ms
    except Exception as error:
        failure = type(error).__name__
        raise
    finally:
        took_s = time.perf_counter() - started
        level = logging.WARNING if took_s >= slow_s else logging.DEBUG
        if _log.isEnabledFor(level):
            fields = {
                "mode": str(request.mode),
                "query_chars": len(request.query),
                "limit": request.limit,
                "collections": len(request.collections),
                "error": failure,
                "timings_ms": timings_ms,
            }
            _log.log(level, "a search took %.3f s", took_s, extra={"fields": fields})
