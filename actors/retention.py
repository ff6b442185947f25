"""Old generations: going back to one, which are kept, and the files that none of them needs.

A generation goes once it is beyond the newest few, superseded for a while, and leased by nobody.
Its manifest goes first and its files when they are found to be orphans, so that a clean-up that
dies halfway leaves files that no manifest names, and never a manifest without its files.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from actors.catalog import Catalog, Manifest
from actors.drafts import drafted_segments
from actors.errors import Conflict
from actors.index.merging import WRITER, merged_since
from actors.leases import Clock, Leases, utc_now
from actors.storage import Storage

KEPT_GENERATIONS = 10
"""Publications that can be gone back to; what merges publish between them is kept with them."""
SUPERSEDED = timedelta(hours=1)
"""A generation stays so long after the next one: readers move on within seconds, and lease it."""
ORPHAN_GRACE = timedelta(hours=24)
"""Longer than any writer needs between its first segment and its manifest."""


def superseded(
    manifests: Sequence[Manifest], leased: Container[int], now: datetime
) -> list[Manifest]:
    """Return which generations of a collection may go, oldest first.

    What a deletion ended goes, however few generations there are, and the deletion itself once it
    is neither the newest generation nor needed to tell that older ones have ended.

    Args:
        manifests: All of its generations, oldest first.
        leased: The numbers of those that somebody reads.
        now: The time.
    """
    ended = max((m.generation for m in manifests if m.deleted), default=0)
    published = [m.generation for m in manifests if m.writer != WRITER]
    first_kept = max(ended + 1, *published[-KEPT_GENERATIONS:][:1])
    going: list[Manifest] = []
    for number, (manifest, following) in enumerate(pairwise(manifests)):
        is_old = now - following.created_at > SUPERSEDED
        is_boundary = manifest.deleted and len(going) < number
        is_needed = manifest.generation >= first_kept or manifest.generation in leased
        if is_old and not is_needed and not is_boundary:
            going.append(manifest)
    return going


def go_back(catalog: Catalog, old: Manifest, newest: int) -> Manifest:
    """Publish what an old generation holds as a new one.

    Its files must be safe from clean-up meanwhile, by a lease.

    Args:
        catalog: Where it is published.
        old: The generation.
        newest: Number of the newest one that was seen when this was decided.

    Raises:
        Conflict: Another writer published since; what merges publish is no reason.
    """
    base = replace(old, generation=newest, writer=f"rollback to {old.generation}")
    while True:
        try:
            return catalog.publish(base)
        except Conflict:
            merged = merged_since(catalog, base)
            if merged is None:
                raise
            base = replace(base, generation=merged.generation)


class Cleaner:
    """Removes what nobody needs any more; any number of them may be at it at the same time.

    Args:
        storage: The root.
        clock: Tells the time.
    """

    def __init__(self, storage: Storage, clock: Clock = utc_now) -> None:
        self._storage = storage
        self._clock = clock
        self._catalog = Catalog(storage, clock)
        self._leases = Leases(storage, clock)

    def clean(self, collection: str) -> list[str]:
        """Remove superseded generations, orphans, and leases that ended; return the first two.

        Raises:
            CorruptData: A manifest or a lease is damaged, so that nobody knows what is needed.
        """
        gone = self.remove_superseded(collection)
        orphans = self.remove_orphans(collection, ORPHAN_GRACE)
        self._leases.forget(collection)
        return [*(f"generation {m.generation} of {collection}" for m in gone), *orphans]

    def remove_superseded(self, collection: str) -> list[Manifest]:
        """Remove the generations that are not kept, oldest first, and return them."""
        manifests = self._catalog.all(collection)
        going = superseded(manifests, self._leases.held(collection), self._clock())
        for manifest in going:
            self._catalog.remove(manifest)
        return going

    def remove_orphans(self, collection: str, grace: timedelta) -> list[str]:
        """Remove segments and tombstones that nobody needs, and return their folders.

        What was touched within `grace` stays: it may be a writer's that has not published yet.

        Who goes back to an old generation leases it first, then looks whether it is there, and lets
        go of it once a new one names the same; so does a job with its drafts. So leases and drafts
        are read between two looks at the manifests: one of these shows what is needed, whatever is
        removed or published meanwhile.
        """
        before = self._catalog.all(collection)
        unnamed = self._there(collection, _named(before, self._leases.held(collection)))
        old = [folder for folder in unnamed if self._untouched(folder, grace)]
        leased = self._leases.held(collection)
        drafted = drafted_segments(self._storage, collection, self._clock())
        known = [*before, *self._catalog.all(collection)]
        if leased.keys() - {manifest.generation for manifest in known}:
            return []  # nobody knows what these name
        still_unnamed = set(self._there(collection, _named(known, leased) | drafted))
        orphans = [folder for folder in old if folder in still_unnamed]
        for folder in orphans:
            self._storage.delete(folder)
        return orphans

    def _there(self, collection: str, but: Container[str]) -> list[str]:
        """Return the folders of all segments and tombstones but some, by their ids."""
        return [
            f"collections/{collection}/{part}/{name}"
            for part in ("segments", "tombstones")
            for name in self._storage.names(f"collections/{collection}/{part}")
            if name not in but
        ]

    def _untouched(self, folder: str, grace: timedelta) -> bool:
        changed = self._storage.last_change(folder)
        return changed is not None and self._clock() - changed >= grace


def _named(manifests: Iterable[Manifest], leased: Container[int]) -> set[str]:
    """Return the ids of the segments and tombstones that generations need.

    Those before the last deletion need none any more, unless they are leased.
    """
    known = list(manifests)
    ended = max((m.generation for m in known if m.deleted), default=0)
    read = (m for m in known if m.generation > ended or m.generation in leased)
    segments = [segment for manifest in read for segment in manifest.segments]
    return {s.id for s in segments} | {s.tombstones for s in segments}
