"""Callers that search all the while, and what became of every one of their requests."""

import itertools
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from waiting import BOUND_S, until

from actors.errors import ShoalError
from cluster.client import ShoalClient

DOCUMENTS = 20
COMMON = "zebra"


@dataclass(frozen=True, slots=True)
class Answer:
    """When a search began, what share of shards answered, and the paths that it found."""

    began: float
    coverage: float
    problem: str
    paths: frozenset[str]


@dataclass
class Load:
    """What has come back so far."""

    answers: list[Answer] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def full_since(self, moment, answers=32):
        """Return when the first of so many full answers in a row began, after `moment`."""

        def found():
            later = [a for a in list(self.answers) if a.began >= moment]
            last = later[-answers:]
            return len(last) == answers and {a.coverage for a in last} == {1.0} and last[0].began

        return until(found)


def write_documents(folder):
    """Write files of which each holds the common word."""
    folder.mkdir()
    for n in range(DOCUMENTS):
        (folder / f"f{n}.md").write_text(f"# Title {n}\n\nword{n} {COMMON} crossing\n")


@contextmanager
def steady_load(root, collection, callers=16):
    """Yield a `Load` to which so many callers add until the block ends."""
    stop, load, number = threading.Event(), Load(), itertools.count()

    def call():
        with ShoalClient(root=root) as own:
            while not stop.is_set():
                began = time.monotonic()
                query = f"{COMMON} {next(number)}"  # no vector of it is at hand
                try:
                    found = own.search(query, collections=[collection], limit=DOCUMENTS)
                except ShoalError as error:
                    load.errors.append(error)
                    continue
                (part,) = found.collections
                paths = frozenset(hit.path for hit in found.hits)
                load.answers.append(Answer(began, found.coverage, part.problem, paths))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(BOUND_S)
