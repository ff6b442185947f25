"""Texts to the numbers that training reads: flat arrays of distinct tokens and their counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import Pool
from multiprocessing.pool import Pool as PoolOfProcesses

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from actors.engines.tokens import TokenReader

MOST_TOKENS = 512  # of one text, as the engine reads it
_TEXTS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Bags:
    """Texts without their order of words.

    Attributes:
        ids: int32 [entries]: the distinct tokens of each text, one text after the other.
        counts: float32 [entries]: how often the text has each.
        offsets: int64 [texts + 1]: where each text begins.
    """

    ids: npt.NDArray[np.int32]
    counts: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.offsets) - 1


def encode(tokenizer: str, texts: Sequence[str]) -> Bags:
    """Read texts as the engine does, identifiers split, in as many processes as there are cores.

    Args:
        tokenizer: What `tokenizer.json` holds.
        texts: Any.
    """
    parts = [texts[i : i + _TEXTS_AT_ONCE] for i in range(0, len(texts), _TEXTS_AT_ONCE)]
    read = _processes().starmap(_encode_part, [(tokenizer, part) for part in parts])
    lengths = np.concatenate([lengths for _, _, lengths in read])
    return Bags(
        np.concatenate([ids for ids, _, _ in read]),
        np.concatenate([counts for _, counts, _ in read]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


@cache
def _processes() -> PoolOfProcesses:
    """Return processes that were forked before anything was on a GPU."""
    return Pool()


@cache
def _reader(tokenizer: str) -> TokenReader:
    return TokenReader(Tokenizer.from_str(tokenizer), MOST_TOKENS, splits=True)


def _encode_part(tokenizer: str, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], ...]:
    found = [np.unique(ids, return_counts=True) for ids in _reader(tokenizer).read(texts)]
    return (
        np.concatenate([ids for ids, _ in found]).astype(np.int32),
        np.concatenate([counts for _, counts in found]).astype(np.float32),
        np.array([len(ids) for ids, _ in found]),
    )
