"""The static engine: a text's vector is the mean of its tokens' vectors, found in a table.

Reads the folders that model2vec 0.10 writes, without model2vec. The table stays in its file, which
is memory-mapped: a batch reads the rows it needs, and the table is never converted as a whole.
Replace a model by a new folder, never inside a folder in use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from actors.engines.base import Fingerprint, Kind, Vectors
from actors.engines.tokens import Ids, TokenReader
from actors.errors import ModelLoadError

WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.json", "config.json"
FILES = (WEIGHTS, TOKENIZER, CONFIG)

# Tokens read of one text where the config says nothing: model2vec's own default.
DEFAULT_TOKENS = 512
# The most a config can ask for, also by `null`: keeps the rows of one text to some 10 MB.
MOST_TOKENS = 8_192

_DTYPES = {"I8": "int8", "F16": "float16", "F32": "float32", "F64": "float64"}
_MAPPING_DTYPES = {"I32": "int32", "I64": "int64"}
_MOST_HEADER = 100_000_000  # bytes: the limit of the safetensors format


def fingerprint(folder: Path) -> Fingerprint:
    """Return what tells the folder's vectors from others; hashes files and loads nothing.

    Raises:
        ModelLoadError: A file is missing or unreadable.
    """
    _require_files(folder)
    vectors = _vectors(folder)
    digest = hashlib.sha256()
    for name in FILES:
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return Fingerprint(
        engine="static",
        weights=digest.hexdigest()[:16],
        dtype=vectors.dtype.name,
        pooling="mean",
        query_prefix="",
        document_prefix="",
        dimension=vectors.shape[1],
    )


class StaticEngine:
    """A model2vec folder, ready to embed. Safe to call from several threads.

    Vectors are those of model2vec's `encode(texts, normalize=True)`, whether or not the config asks
    for that: the engines' vectors all have length 1.
    """

    def __init__(self, folder: Path) -> None:
        """Read the tokenizer and map the table.

        Raises:
            ModelLoadError: A file is missing or unreadable, or the files do not fit together.
        """
        _require_files(folder)
        tokenizer = _read_tokenizer(folder)
        self._table: _Table | None = _map_table(folder, 1 + max(tokenizer.get_vocab().values()))
        self._reader = TokenReader(tokenizer, _most_tokens(folder))
        self._dimension = int(self._table.vectors.shape[1])

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""
        return self._dimension

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:  # noqa: ARG002 - no prefixes here
        """Embed texts, queries and documents alike.

        Returns:
            float32 [len(texts), dimension]; rows of L2 norm 1, or of zeros where no token is known.

        Raises:
            RuntimeError: The engine is closed.
        """
        table = self._table
        if table is None:
            message = "this engine is closed: open the model again to embed with it"
            raise RuntimeError(message)
        means = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for row, ids in zip(means, self._reader.read(texts), strict=True):
            if ids.size:
                row[:] = table.mean(ids)
        means /= np.linalg.norm(means, axis=1, keepdims=True) + np.float32(1e-32)
        return means

    def close(self) -> None:
        """Let go of the table and of the words remembered. Closing twice is harmless."""
        self._table = None
        self._reader.forget()


@dataclass(frozen=True, slots=True)
class _Table:
    """The arrays of a model.

    Attributes:
        vectors: [rows, dimension], int8 or floating, mapped.
        weights: float32 [tokens], or None where all weigh 1.
        mapping: [tokens], the row of each token, or None where they are the same.
    """

    vectors: NDArray[Any]
    weights: Vectors | None
    mapping: NDArray[Any] | None

    def mean(self, ids: Ids) -> Vectors:
        """Return the tokens' weighted vectors, summed and divided by their number: [dimension]."""
        rows = self.vectors.take(ids if self.mapping is None else self.mapping[ids], axis=0)
        if self.weights is not None:
            rows = rows * self.weights[ids, None]
        total: Vectors = rows.sum(axis=0, dtype=np.float32)
        return total / np.float32(len(ids))


def _map_table(folder: Path, tokens: int) -> _Table:
    """Map all arrays and check that every token has its row."""
    vectors = _vectors(folder)
    weights = _map_array(folder, "weights", _DTYPES)
    mapping = _map_array(folder, "mapping", _MAPPING_DTYPES)
    rows_named = tokens if mapping is None else 1 + int(mapping.max(initial=-1))
    per_token = [array for array in (weights, mapping) if array is not None]
    if rows_named > len(vectors) or any(len(array) < tokens for array in per_token):
        raise _refuse(folder, f"{WEIGHTS} has fewer rows than {TOKENIZER} has tokens")
    return _Table(vectors, None if weights is None else weights.astype(np.float32), mapping)


def _vectors(folder: Path) -> NDArray[Any]:
    vectors = _map_array(folder, "embeddings", _DTYPES)
    if vectors is None or vectors.ndim != 2:  # noqa: PLR2004 - a table has two
        raise _refuse(folder, f"{WEIGHTS} holds no table named 'embeddings'")
    return vectors


def _map_array(folder: Path, name: str, dtypes: Mapping[str, str]) -> NDArray[Any] | None:
    """Map one array of the safetensors file, or return None where it has none of that name.

    The format: 8 bytes of header length (little-endian), a JSON header, then the arrays' bytes.
    """
    path = folder / WEIGHTS
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MOST_HEADER)))
        if name not in header:
            return None
        entry = header[name]
        dtype, shape = np.dtype(dtypes[entry["dtype"]]), tuple(entry["shape"])
        start = 8 + length + entry["data_offsets"][0]
        return np.asarray(np.memmap(path, dtype, mode="r", offset=start, shape=shape))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refuse(folder, f"{WEIGHTS} is unreadable at '{name}' ({error!r})") from error


def _most_tokens(folder: Path) -> int:
    """Return how many tokens of a text are read, by the config's `max_length`."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        most = config.get("max_length", DEFAULT_TOKENS)
        if most is not None and int(most) < 1:
            raise _refuse(folder, f"{CONFIG} has max_length {most}, which reads nothing")
        return MOST_TOKENS if most is None else min(int(most), MOST_TOKENS)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _refuse(folder, f"{CONFIG} is unreadable ({error!r})") from error


def _read_tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # tokenizers raises nothing narrower
        raise _refuse(folder, f"{TOKENIZER} is unreadable ({error})") from error


def _require_files(folder: Path) -> None:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise _refuse(folder, f"it lacks {', '.join(missing)}")


def _refuse(folder: Path, reason: str) -> ModelLoadError:
    way_out = f"give a folder that model2vec saved, with {', '.join(FILES)}"
    return ModelLoadError(f"cannot load a static model from {folder}: {reason}; {way_out}")
