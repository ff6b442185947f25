"""The static engine: a text's vector is the mean of its tokens' vectors, found in a table.

Reads the folders that model2vec 0.10 writes, without model2vec. The table stays in its file, which
is memory-mapped: a batch reads the rows it needs, and the table is never converted as a whole.
Replace a model by a new folder, never inside a folder in use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from actors.engines.base import (
    Counts,
    Fingerprint,
    Footprint,
    Kind,
    ModelCard,
    OnProgress,
    Vectors,
)
from actors.engines.conventions import kept_dimension
from actors.engines.files import digest
from actors.engines.pooling import unit
from actors.engines.spec import ModelSpec
from actors.engines.tokens import Ids, TokenReader
from actors.errors import InvalidRequest, ModelLoadError

WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.json", "config.json"
FILES = (WEIGHTS, TOKENIZER, CONFIG)

# Keys of the config beyond model2vec's: whether the model was trained on split identifiers, and the
# power of the number of times that a text has a token, by which that token weighs in its mean.
SPLITS = "split_identifiers"
REPEATS = "repeats"

# Tokens read of one text where the config says nothing: model2vec's own default.
DEFAULT_TOKENS = 512
# The most a config can ask for, also by `null`: keeps the rows of one text to some 10 MB.
MOST_TOKENS = 8_192

_DTYPES = {"I8": "int8", "F16": "float16", "F32": "float32", "F64": "float64"}
_MAPPING_DTYPES = {"I32": "int32", "I64": "int64"}
_MOST_HEADER = 100_000_000  # bytes: the limit of the safetensors format


HUB_PATTERNS = FILES
LIBRARIES: tuple[str, ...] = ("tokenizers",)

# Bytes in memory for each of the tokenizer's file, and for the words remembered. The built-in model
# took 10 MB of PSS when loaded, and 35 MB, its table included, after 65,000 distinct words.
_TOKENIZER_FACTOR = 20
_WORDS = 24_000_000


def holds(path: Path) -> bool:
    """Tell whether a folder is one that model2vec saved."""
    if not all((path / name).is_file() for name in FILES):
        return False
    try:
        return _map_array(path, "embeddings", _DTYPES) is not None
    except ModelLoadError:
        return False


def describe(spec: ModelSpec, path: Path) -> ModelCard:
    """Read the shape of the table and the config, and hash the files.

    Raises:
        ModelLoadError: A file is missing or unreadable.
        InvalidRequest: The spec sets something that such a model cannot do.
    """
    _require_files(path)
    vectors = _vectors(path)
    _repeats(path)
    if spec.pooling not in {"", "mean"}:
        message = (
            f"{spec} asks for {spec.pooling}, and static models only have a mean of their tokens"
        )
        raise InvalidRequest(message)
    size = (path / WEIGHTS).stat().st_size
    private = _TOKENIZER_FACTOR * (path / TOKENIZER).stat().st_size + _WORDS
    return ModelCard(
        spec=spec,
        path=path,
        fingerprint=Fingerprint(
            engine="static",
            weights=digest(path / name for name in FILES),
            dtype=vectors.dtype.name,
            pooling="mean",
            query_prefix=spec.query_prefix or "",
            document_prefix=spec.document_prefix or "",
            dimension=kept_dimension(spec, vectors.shape[1]),
        ),
        max_tokens=min(spec.max_tokens or _most_tokens(path), MOST_TOKENS),
        footprint=Footprint(mapped=size, private=private),
    )


def open_model(card: ModelCard, threads: int, on_progress: OnProgress) -> StaticEngine:  # noqa: ARG001 - see `StaticEngine`
    """Read the tokenizer and map the table.

    Raises:
        ModelLoadError: A file is missing or unreadable, or the files do not fit together.
    """
    on_progress("loading", 0, 0)
    return StaticEngine(card)


class StaticEngine:
    """A model2vec folder, ready to embed. Safe to call from several threads.

    Without the keys `split_identifiers` and `repeats`, vectors are those of model2vec's
    `encode(texts, normalize=True)`, whether or not the config asks for that: the engines' vectors
    all have length 1. Each text is computed alone, in the calling thread.
    """

    def __init__(self, card: ModelCard) -> None:
        tokenizer = _read_tokenizer(card.path)
        highest = max(tokenizer.get_vocab().values())
        self.batch_tokens = card.max_tokens
        self._table: _Table | None = _map_table(card.path, 1 + highest)
        splits = bool(_config(card.path).get(SPLITS))
        self._reader = TokenReader(tokenizer, card.max_tokens, splits)
        self._name = card.fingerprint

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""
        return self._name.dimension

    def embed(self, texts: Sequence[str], kind: Kind, counts: Counts | None = None) -> Vectors:
        """Embed texts; see `Engine.embed`. Where no token is known, the row is of zeros."""
        table = self._table
        if table is None:
            message = "this engine is closed: open the model again to embed with it"
            raise RuntimeError(message)
        prefix = self._name.query_prefix if kind == "query" else self._name.document_prefix
        prefixed = [prefix + text for text in texts] if prefix else texts
        means = np.zeros((len(texts), table.vectors.shape[1]), dtype=np.float32)
        lengths = np.empty(len(texts), np.int32) if counts is None else counts
        for at, ids in enumerate(self._reader.read(prefixed)):
            lengths[at] = ids.size
            if ids.size:
                means[at] = table.mean(ids)
        return unit(means, self.dimension)

    def drop_caches(self) -> None:
        """Forget the words seen."""
        self._reader.forget()

    def close(self) -> None:
        """Let go of the table and of the words seen. Closing twice is harmless."""
        self._table = None
        self._reader.forget()


@dataclass(frozen=True, slots=True)
class _Table:
    """The arrays of a model.

    Attributes:
        vectors: [rows, dimension], int8 or floating, mapped.
        weights: float32 [tokens], or None where all weigh 1.
        mapping: [tokens], the row of each token, or None where they are the same.
        repeats: A token that a text has n times counts n ** repeats times.
    """

    vectors: NDArray[Any]
    weights: Vectors | None
    mapping: NDArray[Any] | None
    repeats: float

    def mean(self, ids: Ids) -> Vectors:
        """Return the tokens' weighted vectors, summed and divided by their number: [dimension]."""
        number = np.float32(len(ids))
        times: Vectors | None = None
        if self.repeats != 1:
            ids, counts = np.unique(ids, return_counts=True)
            times = counts.astype(np.float32) ** np.float32(self.repeats)
        rows = self.vectors.take(ids if self.mapping is None else self.mapping[ids], axis=0)
        if self.weights is not None:
            rows = rows * self.weights[ids, None]
        if times is None:
            total: Vectors = rows.sum(axis=0, dtype=np.float32)
        else:  # einsum, as a product by BLAS would start threads
            total = np.einsum("i,ij->j", times, rows.astype(np.float32))
        return total / number


def _map_table(folder: Path, tokens: int) -> _Table:
    """Map all arrays and check that every token has its row."""
    vectors = _vectors(folder)
    weights = _map_array(folder, "weights", _DTYPES)
    mapping = _map_array(folder, "mapping", _MAPPING_DTYPES)
    rows_named = tokens if mapping is None else 1 + int(mapping.max(initial=-1))
    per_token = [array for array in (weights, mapping) if array is not None]
    if rows_named > len(vectors) or any(len(array) < tokens for array in per_token):
        raise _refuse(folder, f"{WEIGHTS} has fewer rows than {TOKENIZER} has tokens")
    floats = None if weights is None else weights.astype(np.float32)
    return _Table(vectors, floats, mapping, _repeats(folder))


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
    most = _config(folder).get("max_length", DEFAULT_TOKENS)
    try:
        if most is not None and int(most) < 1:
            raise _refuse(folder, f"{CONFIG} has max_length {most}, which reads nothing")
        return MOST_TOKENS if most is None else min(int(most), MOST_TOKENS)
    except (ValueError, TypeError) as error:
        raise _refuse(folder, f"{CONFIG} is unreadable ({error!r})") from error


def _repeats(folder: Path) -> float:
    """Return the config's `repeats`: 1, as model2vec counts, where it says nothing."""
    power = _config(folder).get(REPEATS, 1)
    if not isinstance(power, int | float) or not 0 <= power <= 1:
        raise _refuse(folder, f"{CONFIG} has {REPEATS} {power!r}, which is no number from 0 to 1")
    return float(power)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refuse(folder, f"{CONFIG} is unreadable ({error!r})") from error
    if not isinstance(config, dict):
        raise _refuse(folder, f"{CONFIG} is unreadable (it holds no object)")
    return config


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
