"""Which word pieces the model has, and where they start from."""

import json
from collections import Counter

import numpy as np
from tiny_static_model import VOCABULARY, bert_tokenizer, table

from training.vocabulary import Vocabulary, choose, count_words


def base():
    return Vocabulary(json.loads(bert_tokenizer().to_str()), table().astype(np.float32))


def pieces(vocabulary):
    return list(vocabulary.tokenizer["model"]["vocab"])


def test_words_are_counted_as_the_engine_splits_them():
    assert count_words(["parseJson(sea_wave)", "parse"]) == {
        "parse": 2,
        "json": 1,
        "sea": 1,
        "wave": 1,
    }


def test_a_frequent_word_that_is_cut_up_becomes_one_piece_and_starts_as_their_sum():
    chosen = choose(base(), Counter(jsons=9, parse=3), rows=11, added=1)
    row = pieces(chosen).index("jsons")
    before = base().table[[VOCABULARY.index("json"), VOCABULARY.index("##s")]]
    np.testing.assert_array_equal(chosen.table[row], before.sum(0))
    assert chosen.open().encode("jsons", add_special_tokens=False).tokens == ["jsons"]


def test_the_rarest_words_make_room_and_letters_stay():
    chosen = choose(base(), Counter(jsons=9, parse=3, wave=1), rows=10, added=1)
    assert set(VOCABULARY) - set(pieces(chosen)) == {"sea"}
    assert len(chosen.table) == len(pieces(chosen)) == 10
