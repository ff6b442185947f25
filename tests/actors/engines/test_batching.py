"""Batches hold every text once, within their bounds; cut texts are short and encodable."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from actors.engines.batching import CHARACTERS_PER_TOKEN, batches, cut, windows

lengths = st.lists(st.integers(0, 600), max_size=80)
bounds = st.integers(1, 2_000)
numbers = st.integers(1, 20)


@given(lengths, bounds, numbers)
def test_every_text_is_in_one_batch(lengths, most_tokens, most_texts):
    found = [index for batch in batches(lengths, most_tokens, most_texts) for index in batch]
    assert sorted(found) == list(range(len(lengths)))


@given(lengths, bounds, numbers)
def test_a_batch_keeps_its_bounds_unless_it_is_one_text(lengths, most_tokens, most_texts):
    for batch in batches(lengths, most_tokens, most_texts):
        padded = len(batch) * max(lengths[index] for index in batch)
        assert padded <= most_tokens or len(batch) == 1
        assert len(batch) <= most_texts


@given(lengths, bounds, numbers)
def test_the_longest_texts_come_first(lengths, most_tokens, most_texts):
    found = [lengths[i] for batch in batches(lengths, most_tokens, most_texts) for i in batch]
    assert found == sorted(found, reverse=True)


@given(lengths, bounds, numbers)
def test_two_batches_in_a_row_do_not_fit_into_one(lengths, most_tokens, most_texts):
    made = list(batches(lengths, most_tokens, most_texts))
    for first, second in pairwise(made):
        number = len(first) + 1
        assert number > most_texts or number * lengths[first[0]] > most_tokens
        assert second


@given(lengths, bounds, numbers)
def test_windows_hold_every_text_in_its_place_within_their_bounds(lengths, most, most_texts):
    made = list(windows(lengths, most, most_texts))
    assert [index for window in made for index in window] == list(range(len(lengths)))
    for window in made:
        held = sum(lengths[index] for index in window)
        assert held <= most or len(window) == 1
        assert len(window) <= most_texts


@given(lengths, bounds, numbers)
def test_a_window_is_as_large_as_it_may_be(lengths, most, most_texts):
    for first, second in pairwise(windows(lengths, most, most_texts)):
        more = sum(lengths[first.start : second.start + 1])
        assert len(first) == most_texts or more > most


@given(st.text(max_size=99), st.integers(1, 9), st.integers(1, 9))
def test_a_text_is_cut_to_characters(text, max_tokens, characters):
    found = cut(text, max_tokens, characters)
    assert len(found) <= max_tokens * characters
    assert text.encode("utf-8", "ignore").startswith(found.encode())


def test_short_texts_are_left_as_they_are():
    text = "x" * CHARACTERS_PER_TOKEN
    assert cut(text, 1) == text
    assert cut("a\ud800b", 1) == "ab"
