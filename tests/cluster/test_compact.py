"""Which of a batch job's pieces become one segment."""

from hypothesis import given
from hypothesis import strategies as st

from actors.messages import SegmentRef
from cluster.compact import LARGEST_ROWS, groups

PIECE = 1 << 13
pieces = st.lists(st.integers(1, PIECE), max_size=200).map(
    lambda sizes: [SegmentRef(str(n), rows, 0) for n, rows in enumerate(sizes)]
)


@given(pieces)
def test_each_piece_is_in_one_group_and_in_order(refs):
    assert [ref for group in groups(refs) for ref in group] == refs


@given(pieces)
def test_there_are_as_few_groups_as_may_be_and_of_like_size(refs):
    sizes = [sum(ref.rows for ref in group) for group in groups(refs)]
    assert len(sizes) == -(-sum(sizes) // LARGEST_ROWS)
    assert max(sizes, default=0) - min(sizes, default=0) <= 2 * PIECE
    assert max(sizes, default=0) <= LARGEST_ROWS + PIECE


def test_what_is_buried_does_not_count():
    refs = [SegmentRef(str(n), 1 << 17, 0, removed_rows=(1 << 17) - 10) for n in range(9)]
    assert groups(refs) == [refs]
