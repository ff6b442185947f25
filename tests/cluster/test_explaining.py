from cluster.explaining import explained
from cluster.protocol import Why


def test_a_hit_is_explained_by_its_places_and_its_parts_the_largest_first():
    why = Why(
        dense_rank=4,
        cosine=0.6123,
        lexical_rank=1,
        bm25=12.312,
        parts={"meaning": 0.81, "words": 2.1, "aside": -0.5},
    )
    assert explained(why, 2.41) == (
        "meaning: rank 4 (cosine 0.612); words: rank 1 (BM25 12.31); "
        "2.41 = +2.10 words +0.81 meaning -0.50 aside"
    )


def test_a_side_that_does_not_have_the_hit_is_left_out():
    why = Why(dense_rank=None, cosine=None, lexical_rank=3, bm25=7.0, parts={})
    assert explained(why, 7.0) == "words: rank 3 (BM25 7.00)"


def test_where_a_reranker_read_it_its_score_comes_first_and_the_parts_are_of_the_one_before():
    why = Why(
        dense_rank=None,
        cosine=None,
        lexical_rank=3,
        bm25=7.0,
        parts={"words": 1.5, "aside": -0.5},
        rerank=-2.25,
    )
    assert explained(why, -2.25) == (
        "reranker: -2.25; words: rank 3 (BM25 7.00); 1.00 = +1.50 words -0.50 aside"
    )
