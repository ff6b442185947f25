import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actors.index.fusion import Mode, answer_of
from actors.index.ranking import EMPTY, Ranking, at_least_kth, merge, ranked


def ranking(*pairs):
    return Ranking(
        np.array([i for i, _ in pairs], np.uint64), np.array([s for _, s in pairs], np.float64)
    )


def test_equal_scores_stand_in_the_order_of_their_ids():
    found = ranked(np.array([9, 2, 5], np.uint64), np.array([1.0, 1.0, 2.0]), 3)
    assert found.ids.tolist() == [5, 2, 9]


def test_all_that_tie_with_the_kth_are_candidates():
    assert at_least_kth(np.array([3.0, 1.0, 1.0, 1.0, 0.5]), 2).tolist() == [0, 1, 2, 3]


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=40),
    st.lists(st.integers(0, 4), min_size=40, max_size=40),
    st.integers(1, 12),
)
def test_a_merged_ranking_does_not_depend_on_how_chunks_are_spread(scores, shards, k):
    ids = np.arange(len(scores), dtype=np.uint64)
    values = np.array(scores)
    where = np.array(shards[: len(scores)], int)
    parts = [ranked(ids[where == s], values[where == s], k) for s in range(5)]
    whole = ranked(ids, values, k)
    assert merge(parts, k).ids.tolist() == whole.ids.tolist()


def test_a_single_side_answers_with_its_own_scores():
    dense, lexical = ranking((1, 0.9), (2, 0.8)), ranking((3, 7.0))
    assert answer_of(Mode.SEMANTIC, [dense], lexical, 1).ranking.scores.tolist() == [0.9]
    assert answer_of(Mode.LEXICAL, [dense], lexical, 5).ranking.ids.tolist() == [3]


def test_nothing_merges_to_nothing():
    assert merge([], 5) is EMPTY
