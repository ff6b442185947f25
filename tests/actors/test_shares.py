"""Which share of a collection a segment holds."""

import pytest

from actors.messages import SegmentRef, ShardRef


def test_shares_of_a_shard_are_together_one_shard_of_all():
    parts = SegmentRef("a", 30, 30), SegmentRef("b", 10, 10)
    shard = ShardRef("c", 1, 0, parts, 4)
    assert [shard.share(part) for part in parts] == pytest.approx([3 / 16, 1 / 16])


def test_the_only_segment_of_the_only_shard_holds_all():
    part = SegmentRef("a", 30, 30)
    assert ShardRef("c", 1, 0, (part,)).share(part) == 1


def test_an_empty_segment_holds_nothing():
    part = SegmentRef("a", 0, 0)
    assert ShardRef("c", 1, 0, (part,)).share(part) == 0
