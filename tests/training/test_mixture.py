"""Which of the gathered pairs are learnt from."""

from collections import Counter

from training.mixture import SHARES, mix
from training.pairs.braces import LANGUAGES
from training.pairs.pair import Pair


def pairs(kind, count):
    return [Pair(kind, "package", f"{kind} {number}", "passage") for number in range(count)]


def kinds(mixed):
    return Counter(pair.kind for pair in mixed)


def test_kinds_that_have_enough_get_their_shares():
    mixed = kinds(mix(pairs("python", 900) + pairs("heading", 900), 310))
    assert mixed == {"python": 170, "heading": 140}


def test_a_kind_that_has_too_few_leaves_its_room_to_the_others():
    mixed = kinds(mix(pairs("python", 10) + pairs("heading", 900) + pairs("prose", 900), 270))
    assert mixed == {"python": 10, "heading": 140, "prose": 120}


def test_the_first_of_each_kind_are_taken_and_unknown_kinds_are_not():
    assert mix(pairs("python", 9) + pairs("poem", 9), 3) == pairs("python", 3)


def test_fewer_than_wanted_are_all_taken():
    assert len(mix(pairs("go", 4), 100)) == 4


def test_every_language_of_code_has_a_share():
    assert set(LANGUAGES.values()) <= set(SHARES)
