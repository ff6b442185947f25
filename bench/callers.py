"""Many callers at once, or one: how fast they are answered, and how often rightly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ask = Callable[[int], Sequence[int]]
"""Number of a query → rows found, best first."""
NewCaller = Callable[[], Ask]
"""Makes a caller with a connection of its own."""

_WARM_UP = 50


def recall(found: Sequence[Sequence[int]], truth: NDArray[np.int64]) -> float:
    """Return the share of the true neighbours that were found, over all queries."""
    hits = [len(set(rows) & set(best.tolist())) for rows, best in zip(found, truth, strict=True)]
    return round(sum(hits) / truth.size, 4)


def one_by_one(new_caller: NewCaller, truth: NDArray[np.int64]) -> dict[str, Any]:
    """Ask every query once, one after the other; return milliseconds of each, and the recall."""
    ask = new_caller()
    for number in range(min(_WARM_UP, len(truth))):
        ask(number)
    found, ms = [], []
    for number in range(len(truth)):
        started = time.perf_counter()
        rows = ask(number)
        ms.append((time.perf_counter() - started) * 1e3)
        found.append(rows)
    return {"ms": ms, "recall": recall(found, truth)}


def together(new_caller: NewCaller, queries: int, callers: int, seconds: float) -> dict[str, Any]:
    """Have so many callers ask for so long; return answers a second and milliseconds of each."""
    begin = threading.Barrier(callers)

    def work(first: int) -> list[float]:
        ask, number, ms = new_caller(), first, []
        ask(number % queries)
        begin.wait()
        give_up = time.perf_counter() + seconds
        while (started := time.perf_counter()) < give_up:
            ask(number % queries)
            ms.append((time.perf_counter() - started) * 1e3)
            number += callers
        return ms

    def finished(worked: Future[list[float]]) -> None:
        if worked.exception():
            begin.abort()  # else the others would wait for this one for ever

    with ThreadPoolExecutor(callers) as threads:
        working = [threads.submit(work, first) for first in range(callers)]
        for one in working:
            one.add_done_callback(finished)
        ms = [took for worked in as_completed(working) for took in worked.result()]
    return {"callers": callers, "per_s": round(len(ms) / seconds, 1), "ms": ms}
