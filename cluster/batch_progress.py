"""How far a batch job is: what its stages have told it, counted once however often they told it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import ray
from ray.exceptions import RayError

from actors.asking import outcome, tell_at_once
from actors.errors import GatewayUnavailable
from actors.messages import FileError, JobState, JobStatus
from actors.pace import Pace
from actors.process import NAMESPACE
from cluster.ingest.pipeline import BlockSummary
from cluster.ingest.sources import Found
from cluster.ingest.walk import UNREADABLE
from cluster.jobs import ERRORS_TOLD, in_words

ASK_S = 60.0
_TELL_EVERY_S = 0.5
_BEAT_S = 5.0
"""A job that is silent for a minute counts as interrupted."""
_PAUSE_S = 0.2


class SoFar:
    """What is done; told by several threads, and read by others.

    Args:
        started_at: When the job began, in seconds since 1970.

    Attributes:
        found: The files.
        begun: Numbers of the blocks that are being read, or were.
        summaries: Number of a block → what became of its files.
        embedded: Id of the first chunk of a block → files and chunks that are embedded.
    """

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._pace = Pace()
        self.found = Found([], Counter())
        self.begun: set[int] = set()
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


class Report:
    """Lets the steward know how far a job is: when something happens, and every few seconds.

    Args:
        job_id: Names the job, which the steward knows of already.
        steward: Actor name of the steward.

    Attributes:
        status: What was told last.
        so_far: What the stages have told.
    """

    def __init__(self, job_id: str, steward: str) -> None:
        self._steward = steward
        self._telling = threading.Lock()
        self._told_at = 0.0
        self.status: JobStatus = ask_steward(steward, lambda it: it.job.remote(job_id), ASK_S)
        self.so_far = SoFar(self.status.started_at)
        threading.Thread(target=self._beat, daemon=True).start()

    def start_over(self) -> None:
        """Forget what the stages have told."""
        self.so_far = SoFar(self.status.started_at)

    def tell_progress(self, phase: str, done: int, total: int) -> None:
        """Tell a phase, and how far it is, in bytes."""
        self.tell(phase=in_words(phase, done, total))

    def tell_now_and_then(self) -> None:
        """Tell what the stages have told, unless it was told a moment ago."""
        if time.monotonic() - self._told_at > _TELL_EVERY_S:
            self.tell()

    def tell(self, **changes: Any) -> None:  # noqa: ANN401 - fields of JobStatus
        """Let the steward know how far the job is."""
        with self._telling:
            if self.status.state.is_final:
                return
            self._told_at = time.monotonic()
            self.status = status = replace(self.status, **self.so_far.told(), **changes)
        tell_at_once(self._steward, lambda steward: steward.report.remote(status))

    def end(self, state: JobState, error: str = "", kind: str = "", **changes: Any) -> None:  # noqa: ANN401
        """Let the steward know how the job ended, and wait until it does."""
        with self._telling:
            told = replace(self.status, **self.so_far.told(), **changes)
            self.status = status = told.ended(state, error, kind)
        ask_steward(self._steward, lambda steward: steward.report.remote(status), ASK_S)

    def _beat(self) -> None:
        """Let the steward know that the job goes on, whatever it is waiting for."""
        while True:
            time.sleep(_BEAT_S)
            self.tell()


def ask_steward(name: str, call: Callable[[Any], Any], within_s: float) -> Any:  # noqa: ANN401
    """Return the steward's answer, asked again while it is being restarted.

    Args:
        name: Its actor name.
        call: Makes the call on its handle.
        within_s: Seconds to wait.

    Raises:
        GatewayUnavailable: It did not answer in time.
    """
    give_up = time.monotonic() + within_s
    while True:
        try:
            steward = ray.get_actor(name, namespace=NAMESPACE)
            return outcome(call(steward), max(give_up - time.monotonic(), 0))
        except (RayError, ValueError) as error:
            if time.monotonic() > give_up:
                message = f"the steward did not answer within {within_s:.0f} s"
                raise GatewayUnavailable(message) from error
            time.sleep(_PAUSE_S)
