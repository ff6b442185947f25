"""Cross-encoders in ONNX Runtime: a query and a text are read as one pair and get one score."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actors.engines.base import ModelCard, Scores
from actors.engines.batching import batches, cut
from actors.engines.onnx_graph import Graph, Value
from actors.engines.onnx_session import WINDOW, Ids, OnnxModel, padded, refuse

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]
    from tokenizers import Tokenizer

_LOGITS = "logits"
_RANK = 2

Pair = tuple[Ids, Ids]
"""The tokens of a pair, int64 [n], and of which of its two texts each of them is."""


class OnnxCrossEncoder(OnnxModel):
    """A cross-encoder in ONNX Runtime. Safe to call from several threads."""

    def __init__(
        self,
        card: ModelCard,
        graph: Graph,
        session: InferenceSession,
        tokenizer: Tokenizer,
        threads: int,
    ) -> None:
        output = score_output(card.path, graph).name
        super().__init__(card, graph, output, session, tokenizer, threads)

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Score texts against a query; see `CrossEncoder.score`."""
        scores = np.empty(len(texts), np.float32)
        jobs: list[tuple[list[int], Future[Scores]]] = []
        try:
            for start in range(0, len(texts), WINDOW):
                pairs = self._pairs(query, texts[start : start + WINDOW])
                lengths = [len(ids) for ids, _ in pairs]
                for batch in batches(lengths, self.batch_tokens, self._most_texts):
                    job = self._pool.submit(self._compute, [pairs[i] for i in batch])
                    jobs.append(([start + i for i in batch], job))
            for indices, job in jobs:
                scores[indices] = job.result()
        finally:
            for _, job in jobs:
                job.cancel()
        return scores

    def _pairs(self, query: str, texts: Sequence[str]) -> list[Pair]:
        _, tokenizer = self._in_use()
        asked = self._name.query_prefix + cut(query, self._max_tokens)
        prefix = self._name.document_prefix
        given = [(asked, prefix + cut(text, self._max_tokens)) for text in texts]
        # Without special tokens, nothing is left of two empty texts; they are read as padding then.
        return [
            (np.array(each.ids or [0], np.int64), np.array(each.type_ids or [0], np.int64))
            for each in tokenizer.encode_batch_fast(given)
        ]

    def _compute(self, pairs: Sequence[Pair]) -> Scores:
        ids, types = zip(*pairs, strict=True)
        output = self._run(padded(ids, types))
        scores: Scores = output.reshape(len(pairs)).astype(np.float32)
        return scores


def score_output(file: Path, graph: Graph) -> Value:
    """Return what a cross-encoder's graph gives of each pair: one number.

    Raises:
        ModelLoadError: It gives something else.
    """
    output = next((value for value in graph.outputs if value.name == _LOGITS), graph.outputs[0])
    rank, last = len(output.shape), output.shape[-1] if output.shape else 0
    if rank > _RANK or (rank == _RANK and last > 1):
        reason = f"its output {output.name} has the shape {output.shape}, and is not one score"
        raise refuse(file, f"{reason} as its config.json tells")
    return output
