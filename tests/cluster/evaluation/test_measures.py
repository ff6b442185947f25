"""Measures of a ranking, against values worked by hand."""

from math import log2

import pytest

from cluster.evaluation.metrics import ndcg, percentile, recall, reciprocal_rank

GRADES = {"a": 2.0, "b": 1.0, "c": 1.0, "no": 0.0}


def test_ndcg_is_the_discounted_gain_over_that_of_the_best_order():
    best = 2 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert ndcg(["x", "b", "a"], GRADES) == pytest.approx((1 / log2(3) + 2 / log2(4)) / best)
    assert ndcg(["x", "b", "a"], GRADES) == pytest.approx(0.520909, abs=1e-6)
    assert ndcg(["a", "c", "b"], GRADES) == 1.0
    assert ndcg(["no", "x"], GRADES) == 0.0


def test_more_relevant_documents_than_places_can_still_be_ranked_perfectly():
    grades = dict.fromkeys(range(15), 1.0)
    assert ndcg(range(15), grades) == 1.0
    assert recall(range(15), grades) == pytest.approx(10 / 15)


def test_recall_is_the_share_of_relevant_documents_among_the_first_ten():
    assert recall(["a", "x", "no"], GRADES) == pytest.approx(1 / 3)
    assert recall([*"0123456789", "a"], GRADES) == 0.0


def test_the_reciprocal_rank_is_that_of_the_first_relevant_document():
    assert reciprocal_rank(["no", "b", "a"], GRADES) == 0.5
    assert reciprocal_rank([*"0123456789", "a"], GRADES) == 0.0


def test_a_question_without_a_relevant_document_is_worth_nothing():
    assert (ndcg(["a"], {}), recall(["a"], {"a": 0.0}), reciprocal_rank(["a"], {})) == (0, 0, 0)


def test_percentiles_lie_between_the_two_values_next_to_them():
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([4.0, 1.0, 3.0, 2.0], 90) == pytest.approx(3.7)
    assert percentile([7.0], 90) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)
