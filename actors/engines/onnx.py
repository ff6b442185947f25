"""The ONNX engine: transformers on CPU, by ONNX Runtime and tokenizers.

Takes a folder in the layout of the hub, with its ONNX file at the top or in `onnx/`, or that file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.base import (
    SCORE,
    Counts,
    Fingerprint,
    Footprint,
    Kind,
    ModelCard,
    OnProgress,
    Vectors,
)
from actors.engines.batching import batches, cut
from actors.engines.conventions import kept_dimension, settle
from actors.engines.files import digest, read_object, read_through
from actors.engines.onnx_graph import INTEGERS, Graph, Value, read_graph
from actors.engines.onnx_scoring import OnnxCrossEncoder, score_output
from actors.engines.onnx_session import (
    BATCH_TOKENS,
    INPUT_IDS,
    MASK,
    TYPES,
    WINDOW,
    Ids,
    OnnxModel,
    open_session,
    open_tokenizer,
    padded,
    refuse,
)
from actors.engines.pooling import pool, unit
from actors.engines.spec import ModelSpec

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]
    from tokenizers import Tokenizer

HUB_PATTERNS = ("*.json", "*.onnx", "*.onnx_data*", "*.onnx.data")
LIBRARIES: tuple[str, ...] = ("onnxruntime", "tokenizers")
# The file that is taken where there are several: what is smallest and fastest on CPU comes first.
PREFERRED = ("model_quantized.onnx", "model_int8.onnx", "model.onnx")

_TOKENIZER = "tokenizer.json"
_INPUTS = {INPUT_IDS, MASK, TYPES}
_POOLED = "sentence_embedding"
_PER_TOKEN = {"last_hidden_state", "token_embeddings"}
_TOKEN_RANK = 3

# What configurations call the size of a token's vector; and BERT's shape, where they say nothing.
_HIDDEN = ("hidden_size", "dim", "d_model", "n_embd")
_HIDDEN_SIZE, _HEADS = 768, 12
_LIBRARIES = 45_000_000  # bytes
_TOKENIZER_FACTOR = 20  # bytes in memory for each of the file


def holds(path: Path) -> bool:
    """Tell whether this is an ONNX file, or a folder with one that can be chosen."""
    return model_file(path) is not None


def model_file(path: Path) -> Path | None:
    """Return the ONNX file that a path stands for: itself, a preferred one, or the only one."""
    if path.is_file():
        return path if path.suffix == ".onnx" else None
    found = sorted([*path.glob("*.onnx"), *path.glob("onnx/*.onnx")])
    preferred = (file for name in PREFERRED for file in found if file.name == name)
    return next(preferred, found[0] if len(found) == 1 else None)


def describe(spec: ModelSpec, path: Path) -> ModelCard:
    """Read the graph and the model's configuration, and hash what decides its vectors.

    Raises:
        ModelLoadError: A file is missing, unreadable or does not fit the others.
        InvalidRequest: The spec sets something that this model cannot do.
    """
    file, folder = _require_files(path)
    graph = read_graph(file)
    settled = settle(spec, folder)
    scores = settled.pooling == SCORE
    output, pooled = (score_output(file, graph), False) if scores else _output(spec, graph)
    if strange := [v for v in graph.inputs if v.name not in _INPUTS or v.element not in INTEGERS]:
        asked = ", ".join(value.name for value in strange)
        raise refuse(file, f"its graph asks for {asked}, which is no input of integers for a text")
    if settled.projected and not pooled:
        raise refuse(file, "layers follow its pooling, and its graph ends before them")
    weights = _weights(file, graph)
    own = 1 if scores else output.shape[-1] if output.shape else 0
    return ModelCard(
        # The file and not its folder, where a smaller version may be written beside it.
        spec=replace(spec, reference=str(file)) if spec.is_local else spec,
        path=file,
        fingerprint=Fingerprint(
            engine="onnx",
            weights=digest([*weights, folder / _TOKENIZER]),
            dtype="int8" if graph.dynamic else graph.dtype,
            pooling="graph" if pooled else settled.pooling,
            query_prefix=settled.query_prefix,
            document_prefix=settled.document_prefix,
            dimension=kept_dimension(spec, own or _hidden_size(file, folder)),
        ),
        max_tokens=settled.max_tokens,
        footprint=_footprint(weights, folder, graph, settled.max_tokens),
    )


def open_model(
    card: ModelCard, threads: int, on_progress: OnProgress
) -> OnnxEngine | OnnxCrossEncoder:
    """Load the model; `threads` texts or batches are computed side by side.

    Raises:
        ModelLoadError: ONNX Runtime or tokenizers cannot read a file.
        MemoryError: There was no memory for it.
    """
    file, folder = _require_files(card.path)
    graph = read_graph(file)
    # Reading goes ahead of the load, so that a slow disk is seen as progress.
    if card.prefault:
        read_through(_weights(file, graph), on_progress)
    on_progress("loading", 0, 0)
    session = open_session(file)
    tokenizer = open_tokenizer(folder / _TOKENIZER, card.max_tokens)
    if card.fingerprint.task == "score":
        return OnnxCrossEncoder(card, graph, session, tokenizer, threads)
    return OnnxEngine(card, graph, session, tokenizer, threads)


class OnnxEngine(OnnxModel):
    """A transformer in ONNX Runtime that embeds. Safe to call from several threads."""

    def __init__(
        self,
        card: ModelCard,
        graph: Graph,
        session: InferenceSession,
        tokenizer: Tokenizer,
        threads: int,
    ) -> None:
        output, pooled = _output(card.spec, graph)
        super().__init__(card, graph, output.name, session, tokenizer, threads)
        self._pooling = None if pooled else card.fingerprint.pooling

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""
        return self._name.dimension

    def embed(self, texts: Sequence[str], kind: Kind, counts: Counts | None = None) -> Vectors:
        """Embed texts, each after the prefix of its kind; see `Engine.embed`."""
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        lengths = np.empty(len(texts), np.int32) if counts is None else counts
        if len(texts) == 1:  # a query: no other thread has to wake up for it
            (ids,) = self._ids(texts, kind)
            lengths[0] = len(ids)
            rows[0] = self._compute([ids])[0]
            return rows
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
        under_way: deque[tuple[list[int], Future[Vectors]]] = deque()
        try:
            for start in range(0, len(order), WINDOW):
                ahead = len(under_way)
                window = order[start : start + WINDOW]
                under_way.extend(self._submit(texts, window, kind, lengths))
                _collect(under_way, ahead, rows)
            _collect(under_way, len(under_way), rows)
        finally:
            for _, job in under_way:
                job.cancel()
        return rows

    def _submit(
        self, texts: Sequence[str], window: list[int], kind: Kind, lengths: Counts
    ) -> Iterator[tuple[list[int], Future[Vectors]]]:
        ids = self._ids([texts[i] for i in window], kind)
        lengths[window] = [len(i) for i in ids]
        for batch in batches([len(i) for i in ids], self.batch_tokens, self._most_texts):
            job = self._pool.submit(self._compute, [ids[i] for i in batch])
            yield [window[i] for i in batch], job

    def _ids(self, texts: Sequence[str], kind: Kind) -> list[Ids]:
        prefix = self._name.query_prefix if kind == "query" else self._name.document_prefix
        prefixed = [prefix + cut(text, self._max_tokens) for text in texts]
        _, tokenizer = self._in_use()
        encodings = tokenizer.encode_batch_fast(prefixed)
        # Without special tokens, nothing is left of an empty text; it is read as padding then.
        return [np.array(encoding.ids or [0], dtype=np.int64) for encoding in encodings]

    def _compute(self, ids: Sequence[Ids]) -> Vectors:
        feed = padded(ids)
        output = self._run(feed)
        vectors = output if self._pooling is None else pool(output, feed[MASK], self._pooling)
        return unit(vectors, self.dimension)


def _collect(
    under_way: deque[tuple[list[int], Future[Vectors]]], number: int, rows: Vectors
) -> None:
    """Wait for the oldest jobs and put their vectors where they belong."""
    for _ in range(number):
        indices, job = under_way.popleft()
        rows[indices] = job.result()


def _output(spec: ModelSpec, graph: Graph) -> tuple[Value, bool]:
    """Choose what is computed, and tell whether it is pooled already.

    A pooling that the spec names is done here, where the graph gives token vectors. Other outputs
    of two dimensions, such as BERT's `pooler_output`, were not trained to stand for a text.
    """
    pooled = [value for value in graph.outputs if value.name == _POOLED]
    tokens = [v for v in graph.outputs if v.name in _PER_TOKEN or len(v.shape) == _TOKEN_RANK]
    if pooled and not (spec.pooling and tokens):
        return pooled[0], True
    if tokens:
        return tokens[0], False
    return graph.outputs[0], True


def _footprint(weights: Sequence[Path], folder: Path, graph: Graph, tokens: int) -> Footprint:
    """Estimate what two threads need, and a query beside them.

    Measured on all-MiniLM-L6-v2, as PSS: the libraries hold 41 MB, and a session 1.4 times its
    file, as it copies weights and packs them anew; a tokenizer is in `_TOKENIZER_FACTOR`. A
    computation of n tokens keeps 4 times its attention scores (float32 [heads, n, n]) and 11 times
    its inner layer (float32 [n, 4 * hidden]); a second one beside it adds 0.4 of that.
    """
    config = read_object(folder / "config.json")
    heads = _first_number(config, "num_attention_heads", "n_heads", "n_head") or _HEADS
    hidden = _first_number(config, *_HIDDEN) or _HIDDEN_SIZE
    computed = tokens if graph.dynamic else max(tokens, BATCH_TOKENS)
    batch = 4 * computed * (4 * heads * tokens + 11 * 4 * hidden)
    loaded = sum(path.stat().st_size for path in weights) * 3 // 2
    tokenizer = _TOKENIZER_FACTOR * (folder / _TOKENIZER).stat().st_size
    return Footprint(mapped=0, private=_LIBRARIES + loaded + tokenizer + 2 * batch)


def _first_number(config: dict[str, Any], *keys: str) -> int:
    return next((config[key] for key in keys if isinstance(config.get(key), int)), 0)


def _hidden_size(file: Path, folder: Path) -> int:
    if size := _first_number(read_object(folder / "config.json"), *_HIDDEN):
        return size
    raise refuse(file, f"neither its graph nor {folder / 'config.json'} tells its dimension")


def _require_files(path: Path) -> tuple[Path, Path]:
    """Return the ONNX file and the folder with the model's configuration."""
    file = model_file(path)
    if file is None:
        raise refuse(path, f"it has none of {', '.join(PREFERRED)}, nor just one other")
    for folder in (file.parent, file.parent.parent):
        if (folder / _TOKENIZER).is_file():
            return file, folder
    raise refuse(file, f"there is no {_TOKENIZER} beside it nor above it")


def _weights(file: Path, graph: Graph) -> list[Path]:
    return [file, *(file.parent / name for name in graph.external)]
