"""BM25 that leaves most rows unread, beside every row; words that are found, and mistyped ones."""

from dataclasses import replace

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.index.bounds import BLOCK
from actors.index.lexical import K1, B, LexicalIndex, files_of, weigh
from actors.index.mapped import let_go, load_array
from actors.index.postings import count_terms, merge
from actors.index.tokens import terms
from actors.index.typos import neighbours
from actors.index.vocabulary import Vocabulary

ROWS = 12_000
"""More blocks than are scored from end to end, so that there is something to leave out."""
QUERIES = [
    "rare1 w0 w1 w2",
    "w0 w1 w2 w3",
    "w0",
    "rare3",
    "w5 w5 w900 rare2 once",
    "w40 w41 w42 w43 w44 w45 w46 w47 w48 w49",
    "once",
    "absent",
    " ".join(f"w{n}" for n in range(700)),
]


def write(folder, texts):
    folder.mkdir()
    for name, array in files_of(merge([count_terms(texts)])).items():
        np.save(folder / name, array)
    return folder


@pytest.fixture(scope="module")
def texts():
    """Rows as files have them: neighbours are alike, common words everywhere, rare ones seldom."""
    random = np.random.default_rng(5)
    found = []
    for row in range(ROWS):
        common = random.zipf(1.3, 12) % 1000
        local = (row // 50 * 7 + random.integers(0, 5, 3)) % 900
        words = [f"w{n}" for n in (*common, *local)]
        words += [f"rare{n}" for n in range(1, 5) if random.random() < 0.002 * n]
        found.append(" ".join(words[: random.integers(3, len(words) + 1)]))
    found[ROWS - 1] += " once once"
    return found


@pytest.fixture(scope="module")
def folder(texts, tmp_path_factory):
    return write(tmp_path_factory.mktemp("lexical") / "segment", texts)


@pytest.fixture
def index(folder):
    ids = np.random.default_rng(6).permutation(ROWS).astype(np.uint64)
    return LexicalIndex(folder, ids)


def weighed(index, text):
    statistics = index.statistics

    def frequency(term):
        number = statistics.vocabulary.find(term)
        return 0 if number is None else statistics.frequency(number)

    return weigh(terms(text), frequency, ROWS, int(index.lengths.sum()))


def every_row(index, query, k, allowed):
    """Score all rows, term by term in the order of the query."""
    scores = np.zeros(ROWS)
    for term, weight in zip(query.terms, query.weights, strict=True):
        number = index.statistics.vocabulary.find(term)
        here = slice(*index.statistics.offsets[number : number + 2])
        rows, counts = index._rows[here], index._counts[here].astype(np.float64)
        norm = K1 * (1 - B + B * index.lengths[rows] / query.mean_length)
        scores[rows] += weight * counts * (K1 + 1) / (counts + norm)
    if allowed is not None:
        scores = scores * allowed
    best = np.lexsort((index._ids, -scores))[:k]
    best = best[scores[best] > 0]
    return index._ids[best].tolist(), scores[best].tolist()


@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("mask", ["all", "a tenth", "one file", "none"])
def test_what_is_left_unread_changes_neither_hits_nor_a_bit_of_a_score(index, text, k, mask):
    allowed = {
        "all": None,
        "a tenth": np.random.default_rng(7).random(ROWS) < 0.1,
        "one file": np.arange(ROWS) // 50 == 3,
        "none": np.zeros(ROWS, np.bool_),
    }[mask]
    query = weighed(index, text)
    found = index.search(query, k, allowed)
    assert (found.ids.tolist(), found.scores.tolist()) == every_row(index, query, k, allowed)


@pytest.mark.parametrize("factor", [0.1, 0.7, 1.5, 20])
def test_a_mean_length_other_than_the_segments_own_loses_no_hit(index, factor):
    for text in QUERIES:
        query = weighed(index, text)
        query = replace(query, mean_length=query.mean_length * factor)
        found = index.search(query, 10, None)
        assert (found.ids.tolist(), found.scores.tolist()) == every_row(index, query, 10, None)


def test_most_rows_of_a_large_segment_are_left_unread(index):
    read = []
    score = index._scored
    index._scored = lambda blocks, *rest: read.append(len(blocks)) or score(blocks, *rest)
    index.search(weighed(index, "rare1 w0 w1 w2"), 10, None)
    assert 0 < sum(read) * BLOCK < ROWS / 2


def test_what_was_dropped_under_pressure_is_read_again(index):
    answers = [index.search(weighed(index, text), 10, None) for text in QUERIES]
    index.drop_caches()
    for text, before in zip(QUERIES, answers, strict=True):
        after = index.search(weighed(index, text), 10, None)
        assert (after.ids.tolist(), after.scores.tolist()) == (
            before.ids.tolist(),
            before.scores.tolist(),
        )


def test_pages_of_postings_are_given_back(tmp_path):
    np.save(tmp_path / "large.npy", np.arange(8 << 20, dtype=np.uint32))
    array = load_array(tmp_path / "large.npy")
    total = int(array.sum(dtype=np.int64))
    held = psutil.Process().memory_info().rss
    let_go(array)
    assert psutil.Process().memory_info().rss < held - (16 << 20)
    assert int(array.sum(dtype=np.int64)) == total


def test_a_segment_of_an_older_version_is_searched_without_its_keys(index, folder, tmp_path):
    for file in folder.iterdir():
        if file.name != "term_keys.npy":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    old = LexicalIndex(tmp_path, index._ids)
    for text in QUERIES:
        query = weighed(index, text)
        assert (
            old.search(query, 10, None).ids.tolist() == index.search(query, 10, None).ids.tolist()
        )


WORDS = st.text("abcß日_", min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(st.lists(WORDS, max_size=60), st.lists(WORDS, max_size=10))
def test_a_term_is_found_where_it_stands_and_nowhere_else(tmp_path_factory, known, others):
    folder = write(tmp_path_factory.mktemp("terms") / "segment", [" ".join(known)])
    vocabulary = Vocabulary(folder)
    listed = list(vocabulary)
    wanted = sorted({word.lower().encode() for word in (*known, *others)})
    expected = [listed.index(word) if word in listed else None for word in wanted]
    assert vocabulary.find_all(wanted) == expected


def one_mistake_from(word):
    """Write out every word that is one mistake away, over the letters used here."""
    for at in range(len(word) + 1):
        begin, end = word[:at], word[at:]
        yield begin + end[1:]
        yield from (begin + letter + end for letter in "abcß日")
        if end:
            yield from (begin + letter + end[1:] for letter in "abcß日")
        if len(end) > 1:
            yield begin + end[1] + end[0] + end[2:]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text("abcß日", min_size=1, max_size=6), max_size=200), st.data())
def test_neighbours_are_the_words_one_mistake_away(tmp_path_factory, known, data):
    word = data.draw(st.text("abcß日", min_size=3, max_size=6))
    near = data.draw(st.lists(st.sampled_from(sorted({w for w in one_mistake_from(word) if w}))))
    folder = write(tmp_path_factory.mktemp("terms") / "segment", [" ".join([*known, *near])])
    expected = ({*known, *near} & set(one_mistake_from(word))) - {word}
    found = neighbours(Vocabulary(folder), word.encode())
    assert found == sorted(term.encode() for term in expected)


def test_a_word_of_two_letters_has_no_neighbours(tmp_path):
    vocabulary = Vocabulary(write(tmp_path / "segment", ["ab abc ac"]))
    assert neighbours(vocabulary, b"ab") == []
