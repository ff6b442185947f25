"""Texts to token ids, within bounds and fast.

A BERT tokenizer cuts a text at every blank and every ASCII punctuation mark before it looks
anything up, so that the ids of a text are the ids of its words, one after the other. Words repeat:
finding them in a dictionary is five times as fast as running the tokenizer over whole texts.
Tokenizers of other kinds get whole texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from statistics import median

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from actors.engines.batching import encodable
from actors.engines.identifiers import split_identifiers

Ids = NDArray[np.int32]

# Texts given to the tokenizer in one call: enough for its threads, few enough to bound its memory.
TEXTS_AT_ONCE = 256
# Words remembered: about 10 MB. Python's whole standard library has 72,000 distinct ones.
CACHED_WORDS = 65_536
# Characters. Longer runs are data (hashes, base64): seldom seen twice, and costly to keep.
LONGEST_CACHED = 64

_PUNCTUATION = r"!-/:-@\[-`{-~"  # all of ASCII that is no letter, digit, blank or control character
_BLANKS = r" \t\n\r"  # other white space stays in its word, which the tokenizer then cuts itself


class TokenReader:
    """Reads texts as the ids of the tokens known in them. Safe to call from several threads."""

    def __init__(self, tokenizer: Tokenizer, most: int, splits: bool = False) -> None:
        """Take over the tokenizer: its padding and truncation are replaced.

        Args:
            tokenizer: Any; those that work as BERT's does are read fast.
            most: Tokens read of one text. The text is first cut to so many times the characters of
                the median token, as model2vec does, because Rust ends the process when memory does.
            splits: Read an identifier as its words; see `split_identifiers`.
        """
        tokenizer.no_padding()
        tokenizer.enable_truncation(most)
        self._tokenizer = tokenizer
        self._most = most
        self._characters = most * max(1, int(median(map(len, tokenizer.get_vocab()))))
        self._unknown = _unknown_id(tokenizer)
        self._splits = splits
        self._words = _Words(tokenizer, splits) if _cuts_at_punctuation(tokenizer) else None

    def read(self, texts: Sequence[str]) -> Iterator[Ids]:
        """Yield one int32 array for each text, in order; empty where no token is known."""
        cut = (text[: self._characters] for text in texts)
        for ids in self._in_batches(cut) if self._words is None else map(self._words.ids, cut):
            first = ids[: self._most]
            yield first if self._unknown is None else first[first != self._unknown]

    def forget(self) -> None:
        """Give back the memory of the words seen."""
        if self._words is not None:
            self._words.clear()

    def _in_batches(self, texts: Iterator[str]) -> Iterator[Ids]:
        while batch := [encodable(text) for text in islice(texts, TEXTS_AT_ONCE)]:
            if self._splits:
                batch = list(map(split_identifiers, batch))
            for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                yield np.array(encoding.ids, dtype=np.int32)


class _Words(dict[str, bytes]):
    """Words seen, each with the bytes of its int32 ids; emptied when full."""

    def __init__(self, tokenizer: Tokenizer, splits: bool) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._splits = splits
        added = [re.escape(token.content) for token in _added_tokens(tokenizer)]
        word = f"[^{_BLANKS}{_PUNCTUATION}]+"
        mark = f"(?!_)[{_PUNCTUATION}]" if splits else f"[{_PUNCTUATION}]"
        self._split = re.compile("|".join([*added, word, mark])).findall

    def ids(self, text: str) -> Ids:
        """Return the ids of all the text's words."""
        return np.frombuffer(b"".join(map(self.__getitem__, self._split(text))), dtype=np.int32)

    def __missing__(self, word: str) -> bytes:
        text = split_identifiers(word) if self._splits else word
        encoding = self._tokenizer.encode(encodable(text), add_special_tokens=False)
        ids = np.array(encoding.ids, dtype=np.int32).tobytes()
        if len(word) <= LONGEST_CACHED:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = ids
        return ids


def _added_tokens(tokenizer: Tokenizer) -> Iterable[AddedToken]:
    return tokenizer.get_added_tokens_decoder().values()


def _cuts_at_punctuation(tokenizer: Tokenizer) -> bool:
    """Tell whether a text's ids are those of its words: BERT's parts, and added tokens apart."""
    return (
        isinstance(tokenizer.normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.model, WordPiece)
        and all(map(_stands_alone, _added_tokens(tokenizer)))
    )


def _stands_alone(token: AddedToken) -> bool:
    """Tell whether an added token is found wherever its text is, and nowhere inside a word."""
    conditions = token.lstrip or token.rstrip or token.single_word or token.normalized
    return not conditions and re.match(f"[{_PUNCTUATION}]", token.content) is not None


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id that stands for unknown text, if the model has one."""
    token: str | None = getattr(tokenizer.model, "unk_token", None)
    if token is not None:
        return tokenizer.token_to_id(token)
    # Unigram's way, told by its JSON alone; writing that of all others would hold up every thread.
    number: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return number
