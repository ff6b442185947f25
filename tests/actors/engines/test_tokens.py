"""Reading word by word must give what the tokenizer gives for the whole text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_static_model import bert_tokenizer, word_tokenizer
from tokenizers import AddedToken, Tokenizer

import actors.engines
from actors.engines import tokens
from actors.engines.identifiers import split_identifiers
from actors.engines.tokens import TokenReader

BUILTIN = Path(actors.engines.__file__).parent / "builtin" / "tokenizer.json"
MOST = 64
READER = TokenReader(Tokenizer.from_file(str(BUILTIN)), MOST)
SPLITTING = TokenReader(Tokenizer.from_file(str(BUILTIN)), MOST, splits=True)
WHOLE = Tokenizer.from_file(str(BUILTIN))
WHOLE.no_padding()
WHOLE.enable_truncation(MOST)

HARD = [
    "getUserById(user_id) -> [UNK] [[PAD]] [pad]",
    "a\x00b\x0bc\x0cd\x1fe\x7ff\ufffdg",
    "caf\u00e9 cafe\u0301 \u2260 =\u0338x \u20ac100 100\u20ac \u201cquoted\u201d\u2014dash",
    "a\u00a0b\u2003c\u3000d\u0085e\u200bf\ufeffg\u2028h",
    "日本語 中文 한국어 \u03a3\u03a3 İstanbul ﬁ ½ 🙂",
    "x" * 101 + " y " + "z" * 100,
    "word " * 100,
]


def whole(text):
    """The known tokens' ids, by the tokenizer alone."""
    ids = WHOLE.encode(text, add_special_tokens=False).ids
    return [number for number in ids if number != WHOLE.token_to_id("[UNK]")]


def read(reader, *texts):
    return [ids.tolist() for ids in reader.read(texts)]


@pytest.mark.parametrize("text", HARD)
def test_hard_texts_are_read_as_the_tokenizer_reads_them(text):
    assert READER._words is not None
    assert read(READER, text) == [whole(text)]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_is_read_as_the_tokenizer_reads_it(text):
    assert read(READER, text) == [whole(text)]


@given(st.text("ab\u0301é[]UNKPAD_. \n\x0b\u00a0中", max_size=60))
def test_any_mix_of_marks_and_words_is_read_as_the_tokenizer_reads_it(text):
    assert read(READER, text) == [whole(text)]


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("getUserById", "get User By Id"),
        ("get_user_by_id", "get user by id"),
        ("HTTPServer2Go", "HTTP Server2 Go"),
        ("__init__", " init "),
        ("sha256", "sha256"),
        ("größeÄndern", "größeÄndern"),
    ],
)
def test_identifiers_are_split_into_their_words(identifier, words):
    assert split_identifiers(identifier) == words


@given(st.text("abAB1_ []UNKPD.é\n", max_size=60))
def test_split_identifiers_are_read_as_the_tokenizer_reads_their_words(text):
    assert read(SPLITTING, text) == [whole(split_identifiers(text))]


def test_a_tokenizer_of_another_kind_gets_split_identifiers_too():
    assert read(TokenReader(word_tokenizer(), 9, splits=True), "sea_wave") == [[5, 6]]


def test_lone_surrogates_are_left_out():
    assert read(READER, "sea \ud800 wave") == read(READER, "sea wave")
    assert read(TokenReader(word_tokenizer(), 9), "sea \ud800 wave") == [[5, 6]]


def test_a_text_is_cut_before_the_tokenizer_sees_it():
    reader = TokenReader(bert_tokenizer(), most=4)
    assert read(reader, "sea " + "x" * 1_000_000) == [[5]]
    assert max(map(len, reader._words)) < 20


def test_words_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(tokens, "CACHED_WORDS", 3)
    reader = TokenReader(bert_tokenizer(), 512)
    assert read(reader, "sea wave parse json sea wave") == [[5, 6, 2, 3, 5, 6]]
    assert len(reader._words) <= 3


def test_long_runs_are_read_but_not_kept():
    reader = TokenReader(bert_tokenizer(), 512)
    run = "json" + "s" * tokens.LONGEST_CACHED
    assert read(reader, run) == [[3, *[4] * tokens.LONGEST_CACHED]]
    assert run not in reader._words


def test_forgetting_changes_no_answer():
    reader = TokenReader(bert_tokenizer(), 9)
    before = read(reader, "sea wave")
    reader.forget()
    assert read(reader, "sea wave") == before


def test_an_added_token_that_may_lie_inside_a_word_turns_the_fast_way_off():
    tokenizer = bert_tokenizer()
    tokenizer.add_tokens([AddedToken("wave", normalized=False)])
    reader = TokenReader(tokenizer, 9)
    assert reader._words is None
    assert read(reader, "seawave") == [[5, 6]]


def test_accents_count_where_the_normaliser_keeps_them():
    reader = TokenReader(bert_tokenizer(strip_accents=False, lowercase=False), 9)
    assert read(reader, "e \u00e9 Sea sea") == [[9, 5]]
