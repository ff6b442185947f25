"""Segments that a job has written and not published yet: where the next try goes on.

    collections/<name>/drafts/<key>/<segment>.json

A record is put once its segment is whole. Nothing reads one but a job that does the same work, and
clean-up, which leaves the segments alone that a young record names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from pydantic import TypeAdapter, ValidationError

from actors.messages import SegmentRef
from actors.storage import Storage

KEPT = timedelta(days=7)
"""How long a job that was stopped can be gone on with."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A segment of a shard that no manifest names yet."""

    shard: int
    segment: SegmentRef


_RECORD = TypeAdapter(Drafted)


class Drafts:
    """What one piece of work has written so far.

    Args:
        storage: The root.
        collection: Whose segments they are.
        work: What makes two tries the same work: only then one can use what the other wrote.

    Attributes:
        folder: Where the records lie.
    """

    def __init__(self, storage: Storage, collection: str, *work: object) -> None:
        self._storage = storage
        self.folder = f"{_drafts(collection)}/{_digest(work)}"

    def all(self) -> list[Drafted]:
        """Return what was recorded."""
        return _read(self._storage, self.folder)

    def taken_up(self) -> list[Drafted]:
        """Return what earlier tries recorded, recorded anew: clean-up leaves it for long then."""
        found = self.all()
        for drafted in found:
            record_draft(self._storage, self.folder, drafted)
        return found

    def clear(self) -> None:
        """Forget all of it: it was published."""
        self._storage.delete(self.folder)


def record_draft(storage: Storage, folder: str, drafted: Drafted) -> None:
    """Record a segment that is whole."""
    storage.put(f"{folder}/{drafted.segment.id}.json", _RECORD.dump_json(drafted))


def drafted_segments(storage: Storage, collection: str, now: datetime) -> set[str]:
    """Return the ids of segments that a job may still publish; forget what is too old for that."""
    found: set[str] = set()
    for key in storage.names(_drafts(collection)):
        folder = f"{_drafts(collection)}/{key}"
        changed = storage.last_change(folder)
        if changed is not None and now - changed > KEPT:
            storage.delete(folder)
        else:
            found |= {drafted.segment.id for drafted in _read(storage, folder)}
    return found


def _drafts(collection: str) -> str:
    return f"collections/{collection}/drafts"


def _read(storage: Storage, folder: str) -> list[Drafted]:
    """Return the records in a folder; one that is damaged, or just removed, is passed over."""
    found = []
    for name in storage.names(folder):
        try:
            found.append(_RECORD.validate_json(storage.read(f"{folder}/{name}")))
        except (ValidationError, FileNotFoundError):
            continue
    return found


def _digest(work: tuple[object, ...]) -> str:
    return blake2b("\0".join(map(str, work)).encode(), digest_size=8).hexdigest()
