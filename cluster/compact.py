"""Few segments out of the small pieces that a batch job wrote, indexed before they show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from operator import itemgetter

import ray

from actors.asking import outcome
from actors.index.merging import LARGEST_ROWS, merge_segments
from actors.index.segment import Segment
from actors.memory import data_limit, give_back
from actors.messages import SegmentRef
from actors.priority import stand_aside
from actors.storage import Storage

_HEADROOM_BYTES = 1 << 30
"""What one merge may take: postings of the largest segment, twice, and a few rows on their way."""


def compacted(
    root: str, collection: str, shards: Mapping[int, Sequence[SegmentRef]]
) -> dict[int, list[SegmentRef]]:
    """Return the segments of each shard, merged to as few as may be, their codes built.

    Merges run as tasks beside each other, a core each; buried rows are left out.

    Raises:
        StorageError: The root refused a write.
        ray.exceptions.RayError: The process of a merge died; what it wrote is an orphan.
    """
    calls = {
        number: [_compact.remote(root, collection, group) for group in groups(refs)]
        for number, refs in shards.items()
    }
    return {number: outcome(made) for number, made in calls.items()}


def groups(refs: Sequence[SegmentRef]) -> list[list[SegmentRef]]:
    """Divide a shard's segments, in order, into as few of like size as merged ones may be large.

    The bound may be passed by a part of one segment.
    """
    ends = list(accumulate(ref.rows - ref.removed_rows for ref in refs))
    most = max([1, *ends[-1:]])
    share = most / math.ceil(most / LARGEST_ROWS)
    numbered = zip((int((end - 1) // share) for end in ends), refs, strict=True)
    return [[ref for _, ref in group] for _, group in groupby(numbered, key=itemgetter(0))]


def _compacted(root: str, collection: str, refs: Sequence[SegmentRef]) -> SegmentRef:
    stand_aside()
    storage = Storage(root)
    try:
        if len(refs) == 1 and not refs[0].tombstones:
            merged = refs[0]
        else:
            with data_limit(_HEADROOM_BYTES):
                merged, _ = merge_segments(storage, collection, refs)
        if storage.is_local:  # elsewhere each host keeps codes of its own
            Segment(storage, collection, merged.id).dense.finish(_no_index)
        return merged
    finally:
        give_back()


def _no_index(_uri: str) -> None:
    """Build nothing for vectors that stay on disk: no host has said that it has no room."""


_compact = ray.remote(_compacted)
