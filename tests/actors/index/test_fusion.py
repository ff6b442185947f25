import numpy as np
import pytest

from actors.index import fusion
from actors.index.fusion import PARTS, Mode, answer_of, fuse
from actors.index.question import QueryKind, Wish
from actors.index.ranking import EMPTY, Ranking
from actors.index.signals import FEATURED, NO_SIGNALS, SHARES, Signals, merged
from actors.routing.gather import why


def ranking(*pairs):
    return Ranking(
        np.array([i for i, _ in pairs], np.uint64), np.array([s for _, s in pairs], np.float64)
    )


def signals(ids, shares=None, lines=None):
    return Signals(
        np.array(ids, np.uint64),
        np.zeros((len(ids), len(SHARES))) if shares is None else np.array(shares, float),
        tuple(map(frozenset, lines or [[number] for number in ids])),
    )


def parts_of(fused, number):
    place = fused.ranking.ids.tolist().index(number)
    return {
        n: amount for n, amount in zip(PARTS, fused.parts[place].tolist(), strict=True) if amount
    }


def test_each_side_counts_by_what_it_scores_beyond_its_mean():
    words = ranking(*((number, 6.0 if number == 100 else 4.0) for number in (100, *range(1, 20))))
    fused = fuse([ranking((100, 0.7), (200, 0.5))], words, 30)
    mean = (6.0 + 19 * 4.0) / 20
    assert parts_of(fused, 100) == pytest.approx(
        {"meaning": fusion.DENSE_WEIGHT[QueryKind.PROSE] * 0.1, "words": 6.0 / mean - 1}
    )
    assert fused.ranking.scores[0] == pytest.approx(sum(parts_of(fused, 100).values()))
    assert "words" not in parts_of(fused, 200)


def test_a_side_whose_candidates_are_alike_has_no_say():
    alike = ranking(*((number, 0.5) for number in range(30)))
    words = ranking(*((number, float(number)) for number in range(29, -1, -1)))
    assert fuse([alike], words, 30).ranking.ids.tolist() == list(range(29, -1, -1))


def test_words_that_few_chunks_hold_weigh_more():
    common = ranking(*((number, 5.0) for number in range(1, 40)))
    assert parts_of(fuse([ranking((1, 0.5))], common, 50), 1).get("words", 0.0) == pytest.approx(0)
    rare = ranking((2, 5.0), *((number, 4.0) for number in range(3, 8)))
    assert parts_of(fuse([ranking((1, 0.5))], rare, 9), 2)["words"] == 5.0 / (25.0 / 20) - 1


def test_a_word_that_one_chunk_holds_counts_a_few_times_the_mean_at_most():
    for others in ([], [(number, 0.01) for number in range(3, 60)]):
        found = fuse([ranking((1, 0.5))], ranking((2, 5.0), *others), 9)
        assert parts_of(found, 2)["words"] == 4.0


def test_names_are_weighed_more_by_words_than_prose_is():
    sides = [ranking((1, 0.9), (2, 0.5))], EMPTY, 5
    prose, name = fuse(*sides), fuse(*sides, wish=Wish(QueryKind.NAME))
    assert parts_of(name, 1)["meaning"] < parts_of(prose, 1)["meaning"]


@pytest.mark.parametrize(
    ("words", "share"),
    [(1, fusion.MOST_MEANING), (7, 1.0), (10, 0.7), (40, fusion.LEAST_MEANING), (0, 1.0)],
)
def test_the_shorter_a_question_is_the_more_its_meaning_weighs(words, share):
    wish = Wish(stems=frozenset(map(str, range(words))))
    prose = fusion.DENSE_WEIGHT[QueryKind.PROSE]
    assert fusion.weight_of_meaning(wish) == pytest.approx(share * prose)
    named = Wish(QueryKind.NAME, wish.stems)
    assert fusion.weight_of_meaning(named) == fusion.DENSE_WEIGHT[QueryKind.NAME]


def test_what_is_known_of_a_chunk_moves_it():
    dense = [ranking((1, 0.51), (2, 0.5))]
    known = signals([1, 2], [[0, 0, 0, 0, 0, 1.0], [1.0, 0.5, 1.0, 1.0, 0.5, 0]])
    fused = fuse(dense, EMPTY, 5, known)
    assert fused.ranking.ids.tolist() == [2, 1]
    assert parts_of(fused, 2) == pytest.approx(
        {
            "meaning": parts_of(fuse(dense, EMPTY, 5), 2)["meaning"],
            "file_name": fusion.FILE_NAME,
            "folder": fusion.FOLDER / 2,
            "definition": fusion.DEFINITION,
            "phrase": fusion.PHRASE,
            "neighbours": fusion.NEIGHBOURS / 2,
        }
    )
    assert parts_of(fused, 1)["aside"] == fusion.ASIDE


def test_signals_count_only_for_the_best_of_a_side_wherever_they_come_from():
    dense = [ranking(*((number, 1 - number / 100) for number in range(2 * FEATURED)))]
    known = signals(range(2 * FEATURED), [[1.0, 0, 0, 0, 0, 0]] * (2 * FEATURED))
    fused = fuse(dense, EMPTY, 2 * FEATURED, known)
    assert "file_name" in parts_of(fused, FEATURED - 1)
    assert "file_name" not in parts_of(fused, FEATURED)


def test_a_near_copy_of_a_better_chunk_comes_after_what_is_new():
    dense = [ranking((1, 0.9), (2, 0.89), (3, 0.5))]
    lines = [range(10), [*range(9), 11], range(20, 30)]
    fused = fuse(dense, EMPTY, 5, signals([1, 2, 3], lines=lines))
    assert fused.ranking.ids.tolist() == [1, 3, 2]
    assert parts_of(fused, 2)["near_copy"] == fusion.NEAR_COPY


def test_chunks_without_lines_are_no_copies_of_each_other():
    dense = [ranking((1, 0.9), (2, 0.8))]
    fused = fuse(dense, EMPTY, 5, signals([1, 2], lines=[[], []]))
    assert "near_copy" not in parts_of(fused, 2)


def test_cosines_of_two_spaces_are_compared_with_those_of_their_own_only():
    warm, cold = ranking((1, 0.9), (2, 0.8)), ranking((3, 0.2), (4, 0.1))
    both = answer_of(Mode.SEMANTIC, [warm, cold], EMPTY, 10).ranking
    assert sorted(both.ids.tolist()[:2]) == [1, 3]
    hybrid = answer_of(Mode.HYBRID, [warm, cold], ranking((4, 9.0)), 10).ranking
    assert hybrid.ids.tolist()[0] == 4


def test_nothing_fuses_to_nothing():
    assert len(fuse([EMPTY], EMPTY, 5, NO_SIGNALS).ranking.ids) == 0
    assert merged([]) is NO_SIGNALS


def test_signals_of_several_places_come_together_in_the_order_of_ids():
    whole = merged([signals([5, 9]), signals([]), signals([2])])
    assert whole.ids.tolist() == [2, 5, 9]
    assert whole.lines == (frozenset([2]), frozenset([5]), frozenset([9]))


def test_why_tells_the_place_on_each_side_and_the_parts():
    words = ranking(*((number, 9.0) for number in range(2, 30)), (1, 3.0))
    fused = fuse([ranking((1, 0.9), (2, 0.5))], words, 5)
    told = why(fused, np.array([1], np.uint64))[1]
    assert (told.dense_rank, told.cosine, told.lexical_rank, told.bm25) == (1, 0.9, 29, 3.0)
    assert sum(amount for _, amount in told.parts) == pytest.approx(
        dict(zip(fused.ranking.ids.tolist(), fused.ranking.scores.tolist(), strict=True))[1]
    )


def test_of_a_single_side_why_tells_its_place_alone():
    found = answer_of(Mode.LEXICAL, [EMPTY], ranking((3, 7.0)), 5)
    told = why(found, np.array([3], np.uint64))[3]
    assert (told.dense_rank, told.lexical_rank, told.bm25, told.parts) == (None, 1, 7.0, ())
