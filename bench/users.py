"""Searches and writes all the while, what became of each, and what is there in the end."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from actors.errors import ShoalError
from cluster.client import ShoalClient
from cluster.protocol import IngestChunk

BASE, WRITTEN = "base", "written"
"""The collection that is searched, and the one that is written to."""
BOUND_S = 180.0
_CALLERS = 4
_DOCUMENTS = 40
_FULL_ANSWERS = 16
"""So many in a row: the service is whole again."""
_BEFORE_S, _AFTER_S = 5.0, 10.0
_SEARCH_PAUSE_S, _WRITE_PAUSE_S = 0.02, 0.3


@dataclass(frozen=True)
class Answer:
    """One search or write: when it began and ended, what share of shards answered, or why not."""

    began: float
    ended: float
    coverage: float = 1.0
    error: str = ""

    @property
    def is_full(self) -> bool:
        """Whether nothing was missing."""
        return not self.error and self.coverage == 1.0


@dataclass
class Load:
    """What came of searches and writes so far; `acknowledged` numbers the documents written."""

    searches: list[Answer] = field(default_factory=list)
    writes: list[Answer] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    attempted: int = 0

    def full_since(self, moment: float) -> float:
        """Return when the first of many full answers in a row began, after a moment."""
        give_up = time.monotonic() + BOUND_S
        while time.monotonic() < give_up:
            later = sorted((a for a in list(self.searches) if a.began >= moment), key=_began)
            run = list(itertools.takewhile(lambda a: a.is_full, reversed(later)))
            if len(run) >= _FULL_ANSWERS:
                return run[-1].began
            time.sleep(0.1)
        sys.exit("the service did not become whole again")

    def figures(self, moment: float) -> dict[str, Any]:
        """Describe what came after a moment."""
        searches = [a for a in self.searches if a.ended >= moment]
        writes = [a for a in self.writes if a.ended >= moment]
        full = sorted(a.ended for a in searches if a.is_full)
        gaps = [b - a for a, b in itertools.pairwise([moment, *full])]
        return {
            "searches": len(searches),
            "searches_failed": sum(bool(a.error) for a in searches),
            "searches_partial": sum(not a.error and a.coverage < 1 for a in searches),
            "search_errors": Counter(a.error for a in searches if a.error),
            "longest_without_a_full_answer_s": round(max(gaps, default=0), 1),
            "slowest_answered_search_s": _slowest(a for a in searches if a.is_full),
            "writes_acknowledged": sum(not a.error for a in writes),
            "writes_failed": sum(bool(a.error) for a in writes),
            "write_errors": Counter(a.error for a in writes if a.error),
            "slowest_acknowledged_write_s": _slowest(a for a in writes if not a.error),
        }


def _began(answer: Answer) -> float:
    return answer.began


def _slowest(answers: Iterator[Answer]) -> float:
    return round(max((a.ended - a.began for a in answers), default=0), 2)


class Users:
    """Who searches and writes.

    Args:
        client: Makes a client of the cluster's gateway.
    """

    def __init__(self, client: Callable[[], ShoalClient]) -> None:
        self._client = client

    def begin(self) -> None:
        """Have a collection to search in."""
        with self._client() as shoal:
            chunks = [IngestChunk(path=f"{BASE}/{n}", text=f"zebra {n}") for n in range(_DOCUMENTS)]
            shoal.ingest(chunks, collection=BASE)

    @contextmanager
    def at_work(self) -> Iterator[Load]:
        """Search and write while the block lasts; yields what comes of it."""
        load = Load()
        with self._threads(load, [self._search] * _CALLERS + [self._write]):
            load.full_since(time.monotonic())
            time.sleep(_BEFORE_S)
            yield load
            time.sleep(_AFTER_S)

    @contextmanager
    def writing(self, first: int) -> Iterator[Load]:
        """Only write, documents from a number on."""
        load = Load(attempted=first)
        with self._threads(load, [self._write]):
            yield load

    def found(self, numbers: Iterator[int] | set[int] | range) -> Counter[int]:
        """Return how often each of the documents of these numbers is there."""
        with self._client() as shoal:
            return Counter(n for n in numbers for _ in _found(shoal, n))

    def accounts(self, load: Load) -> dict[str, int]:
        """Compare what was acknowledged with what is there, and forget it."""
        there = self.found(range(load.attempted))
        with self._client() as shoal:
            generations = [g.generation for g in shoal.history(WRITTEN)]
            shoal.delete(WRITTEN)
        return {
            "acknowledged": len(load.acknowledged),
            "acknowledged_and_lost": len(load.acknowledged - set(there)),
            "there_twice": sum(count > 1 for count in there.values()),
            "there_without_acknowledgement": len(set(there) - load.acknowledged),
            "generations_twice": len(generations) - len(set(generations)),
        }

    @contextmanager
    def _threads(
        self, load: Load, work: list[Callable[[Load, threading.Event], None]]
    ) -> Iterator[None]:
        stop = threading.Event()
        threads = [threading.Thread(target=each, args=(load, stop)) for each in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(BOUND_S)

    def _search(self, load: Load, stop: threading.Event) -> None:
        with self._client() as shoal:
            while not stop.wait(_SEARCH_PAUSE_S):
                began = time.monotonic()
                try:
                    found = shoal.search(f"zebra {len(load.searches)}", collections=[BASE])
                except ShoalError as error:
                    load.searches.append(_failed(began, error))
                    shoal.close()
                    stop.wait(_WRITE_PAUSE_S)
                else:
                    load.searches.append(Answer(began, time.monotonic(), found.coverage))

    def _write(self, load: Load, stop: threading.Event) -> None:
        with self._client() as shoal:
            while not stop.wait(_WRITE_PAUSE_S):
                number = load.attempted
                load.attempted += 1
                began = time.monotonic()
                chunk = IngestChunk(path=f"{WRITTEN}/{number}", text=f"document{number} of many")
                try:
                    shoal.ingest([chunk], collection=WRITTEN)
                except ShoalError as error:
                    load.writes.append(_failed(began, error))
                    shoal.close()
                else:
                    load.writes.append(Answer(began, time.monotonic()))
                    load.acknowledged.add(number)


def _found(shoal: ShoalClient, number: int) -> list[str]:
    found = shoal.search(f"document{number}", mode="lexical", collections=[WRITTEN], limit=5)
    return [hit.path for hit in found.hits if hit.path == f"{WRITTEN}/{number}"]


def _failed(began: float, error: ShoalError) -> Answer:
    return Answer(began, time.monotonic(), 0.0, type(error).__name__)
