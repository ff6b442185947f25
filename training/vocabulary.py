"""The word pieces of the model: BERT's that occur, and the words of code that BERT cuts up."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from actors.engines.identifiers import split_identifiers

SPECIAL = ("[PAD]", "[UNK]")
PREFIX = "##"
_WORD = re.compile(r"[a-z][a-z0-9]{1,23}")
_RUN = re.compile(r"[^\W_]+")

Table = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer's file, and where each of its pieces starts from.

    Attributes:
        tokenizer: What `tokenizer.json` holds.
        table: float32 [pieces, dimension]: the first vectors.
    """

    tokenizer: dict[str, Any]
    table: Table

    def open(self) -> Tokenizer:
        """Return the tokenizer itself."""
        return Tokenizer.from_str(json.dumps(self.tokenizer))

    def save(self, path: Path) -> None:
        """Write `tokenizer.json` without blanks and escapes."""
        path.write_text(
            json.dumps(self.tokenizer, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
        )


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Count the words of texts, identifiers split, in small letters."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_RUN.findall(split_identifiers(text).lower()))
    return counts


def choose(base: Vocabulary, words: Counter[str], rows: int, added: int) -> Vocabulary:
    """Take in the most frequent whole words that the base cuts up, for its rarest pieces.

    A new word starts as the sum of its pieces, so that a text's vector is what it was.

    Args:
        base: A WordPiece vocabulary and its vectors.
        words: How often each word occurs where the model will be trained.
        rows: Pieces of the result, at most.
        added: Of these, how many are new.
    """
    ids: dict[str, int] = base.tokenizer["model"]["vocab"]
    unknown = [w for w, _ in words.most_common() if w not in ids and _WORD.fullmatch(w)][:added]
    pieces = _pieces(base.open(), unknown)
    seen = _count_pieces(base.open(), words)
    room = rows - len(unknown)
    kept = sorted(ids, key=lambda piece: (not _is_kept(piece), -seen[piece], ids[piece]))[:room]
    names = [*SPECIAL, *(p for p in sorted(kept, key=ids.__getitem__) if p not in SPECIAL)]
    table = np.concatenate(
        [base.table[[ids[name] for name in names]], [base.table[p].sum(0) for p in pieces]]
        if unknown
        else [base.table[[ids[name] for name in names]]]
    )
    tokenizer = copy.deepcopy(base.tokenizer)
    tokenizer["model"]["vocab"] = {name: row for row, name in enumerate([*names, *unknown])}
    return Vocabulary(tokenizer, table.astype(np.float32))


def _is_kept(piece: str) -> bool:
    """Tell whether a piece stays however rare it is: signs, and letters alone."""
    return piece in SPECIAL or (len(piece.removeprefix(PREFIX)) == 1 and piece.isascii())


def _pieces(tokenizer: Tokenizer, words: list[str]) -> list[list[int]]:
    return [tokenizer.encode(word, add_special_tokens=False).ids for word in words]


def _count_pieces(tokenizer: Tokenizer, words: Counter[str]) -> Counter[str]:
    """Count pieces by the words that they are part of."""
    seen: Counter[str] = Counter()
    listed = list(words)
    names = {number: piece for piece, number in tokenizer.get_vocab().items()}
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for word, encoding in zip(
        listed, tokenizer.encode_batch_fast(listed, add_special_tokens=False), strict=True
    ):
        for piece in encoding.ids:
            seen[names[piece]] += words[word]
    return seen
