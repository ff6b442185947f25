"""Merges in the background: one at a time, in a process that lets everything else go first."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from actors.catalog import Catalog, Manifest
from actors.errors import ShoalError
from actors.index.merging import Merge, all_due, merge
from actors.memory import data_limit, give_back
from actors.priority import step_back
from actors.storage import Storage

_log = logging.getLogger("shoal.merger")

_HEADROOM_BYTES = 1 << 30
"""What a merge may take: postings of the largest segment, twice, and a few rows on their way."""
_FAILED_S = 600.0
"""Before a merge that failed is tried again: a damaged segment stays one."""


class Merger:
    """Begins merges that are due, and tells when one has changed a collection.

    Args:
        root: The storage root.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._catalog = Catalog(Storage(root))
        self._running: tuple[Merge, Any] | None = None
        self._failed: dict[Merge, float] = {}

    @property
    def busy(self) -> bool:
        """Whether a merge is under way, as far as the last look saw."""
        return self._running is not None

    def look(self, *, begins: bool = True) -> bool:
        """End what is done and begin what is due; tell whether a generation was published.

        Args:
            begins: Whether anything is to be begun: else another cluster of the root does so.
        """
        published = self._finished()
        if self._running is None and begins:
            wanted = next(self._due(), None)
            if wanted is not None:
                self._running = (wanted, _merge.remote(self._root, wanted))
        return published

    def _finished(self) -> bool:
        """Take the result of a merge that is over, whatever it is."""
        if self._running is None:
            return False
        wanted, result = self._running
        done, _ = ray.wait([result], timeout=0)
        if not done:
            return False
        self._running = None
        try:
            published = ray.get(result)
        except (RayError, ShoalError, MemoryError) as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            _log.warning("merging %s failed: %s", _described(wanted), cause)
            self._failed[wanted] = time.monotonic()
            return False
        if published is not None:
            _log.info("merged %s: generation %d", _described(wanted), published.generation)
        return published is not None

    def _due(self) -> Iterator[Merge]:
        now = time.monotonic()
        self._failed = {m: at for m, at in self._failed.items() if now - at < _FAILED_S}
        for name in self._catalog.names():
            try:
                manifest = self._catalog.find(name)
            except ShoalError as error:
                _log.debug("no merge of %s: %s", name, error)  # a search says so too
                continue
            if manifest is not None:
                yield from (m for m in all_due(manifest) if m not in self._failed)


def _described(wanted: Merge) -> str:
    return f"{len(wanted.segments)} segments of {wanted.collection}, shard {wanted.shard}"


def _merged(root: str, wanted: Merge) -> Manifest | None:
    step_back()
    try:
        with data_limit(_HEADROOM_BYTES):
            return merge(root, wanted)
    finally:
        give_back()


_merge = ray.remote(num_cpus=1, max_retries=0)(_merged)
