"""How far a batch job is: what its stages have told it, counted once however often they told it."""

from __future__ import annotations

import time
from collections import Counter
from itertools import chain
from typing import Any

from actors.messages import FileError
from actors.pace import Pace
from cluster.ingest.pipeline import BlockSummary
from cluster.ingest.sources import Found
from cluster.ingest.walk import UNREADABLE
from cluster.jobs import ERRORS_TOLD


class SoFar:
    """What is done; told by several threads, and read by others.

    Args:
        started_at: When the job began, in seconds since 1970.

    Attributes:
        found: The files.
        summaries: Number of a block → what became of its files.
        embedded: Id of the first chunk of a block → files and chunks that are embedded.
    """

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._pace = Pace()
        self.found = Found([], Counter())
        self.summaries: dict[int, BlockSummary] = {}
        self.embedded: dict[int, tuple[int, int]] = {}

    @property
    def skipped(self) -> dict[str, int]:
        """How many files were left out, by reason."""
        skipped = Counter(self.found.skipped)
        for summary in list(self.summaries.values()):
            skipped.update(summary.skipped)
        return dict(skipped)

    def told(self) -> dict[str, Any]:
        """Return the fields of a `JobStatus` that follow from it."""
        summaries, embedded = list(self.summaries.values()), list(self.embedded.values())
        unchanged = sum(len(summary.unchanged) for summary in summaries)
        changed = sum(files for files, _ in embedded)
        done = unchanged + changed + sum(sum(s.skipped.values()) for s in summaries)
        seconds, errors = time.time() - self._started_at, self._errors(summaries)
        rate, eta_s = self._pace.at(seconds, done, len(self.found.files))
        return {
            "seconds": seconds,
            "rate": rate,
            "eta_s": eta_s,
            "files_done": done,
            "files_changed": changed,
            "files_unchanged": unchanged,
            "chunks": sum(chunks for _, chunks in embedded),
            "skipped": self.skipped,
            "errors": tuple(errors[:ERRORS_TOLD]),
            "errors_omitted": max(0, len(errors) - ERRORS_TOLD),
        }

    def _errors(self, summaries: list[BlockSummary]) -> list[FileError]:
        errors = [FileError(path, UNREADABLE) for path in self.found.unreadable]
        return [*errors, *chain.from_iterable(summary.errors for summary in summaries)]
