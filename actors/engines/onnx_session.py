"""A graph in ONNX Runtime with its tokenizer and its threads: what embeds and scores alike."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actors.engines.base import ModelCard
from actors.engines.batching import MOST_TEXTS
from actors.engines.files import unreadable
from actors.engines.onnx_graph import INTEGERS, Graph
from actors.errors import ModelLoadError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]
    from tokenizers import Tokenizer

BATCH_TOKENS = 2_048
# Texts tokenised ahead of the computation: a few batches for each thread, and little to hold.
WINDOW = 64

INPUT_IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"

Ids = NDArray[np.int64]


class OnnxModel:
    """A transformer in ONNX Runtime. Safe to call from several threads.

    A graph that quantises activations by their range gives a text another vector in other company
    (cosines down to 0.992), so there each text is computed alone, which is also the fastest.

    Args:
        card: The model's.
        graph: What the file says of itself.
        output: Name of the one that is computed.
        session: The file, opened.
        tokenizer: Cuts what is longer than the model reads.
        threads: Computations at once.
    """

    def __init__(
        self,
        card: ModelCard,
        graph: Graph,
        output: str,
        session: InferenceSession,
        tokenizer: Tokenizer,
        threads: int,
    ) -> None:
        self.batch_tokens = BATCH_TOKENS
        self._name = card.fingerprint
        self._max_tokens = card.max_tokens
        self._most_texts = 1 if graph.dynamic else MOST_TEXTS
        self._inputs = {value.name: INTEGERS[value.element] for value in graph.inputs}
        self._output = output
        self._opened: tuple[InferenceSession, Tokenizer] | None = session, tokenizer
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="onnx")

    def drop_caches(self) -> None:
        """Let the arena shrink to what a text of two tokens needs."""
        from onnxruntime import RunOptions  # noqa: PLC0415

        options = RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._run(padded([np.zeros(2, dtype=np.int64)]), options)

    def close(self) -> None:
        """Let go of the session, the tokenizer and the threads. Closing twice is harmless."""
        self._pool.shutdown()
        self._opened = None

    def _run(self, feed: dict[str, Ids], options: Any = None) -> NDArray[Any]:  # noqa: ANN401
        session, _ = self._in_use()
        given = {name: feed[name].astype(dtype, copy=False) for name, dtype in self._inputs.items()}
        try:
            (output,) = session.run([self._output], given, options)
        except Exception as error:  # ONNX Runtime's own classes share no narrower base
            raise memory_error(error) or error from error
        found: NDArray[Any] = output
        return found

    def _in_use(self) -> tuple[InferenceSession, Tokenizer]:
        if self._opened is None:
            message = "this engine is closed: open the model again to compute with it"
            raise RuntimeError(message)
        return self._opened


def padded(ids: Sequence[Ids], types: Sequence[Ids] | None = None) -> dict[str, Ids]:
    """Pad texts on the right: int64 [texts, longest] each.

    Args:
        ids: Tokens of each text.
        types: Of which of two texts each of them is, or None where there is one.
    """
    lengths = np.array([len(text) for text in ids])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    feed = {INPUT_IDS: np.zeros_like(mask), MASK: mask, TYPES: np.zeros_like(mask)}
    feed[INPUT_IDS][mask.astype(bool)] = np.concatenate(ids)
    if types is not None:
        feed[TYPES][mask.astype(bool)] = np.concatenate(types)
    return feed


def open_session(file: Path) -> InferenceSession:
    """Load a graph and its weights.

    Raises:
        ModelLoadError: ONNX Runtime cannot read it.
        MemoryError: There was no memory for it.
    """
    import onnxruntime  # noqa: PLC0415

    # The arena stays on: after 1,000 as after 2,000 texts of 1 to 20,000 characters PSS was 240 MB,
    # at 83 texts/s. Without it malloc held 265 to 283 MB, at 78; shrinking it after each text took
    # 213 and then 224 MB, at 79. Memory patterns made no difference.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes share no narrower base
        raise memory_error(error) or refuse(file, f"ONNX Runtime says: {error}") from error


def open_tokenizer(file: Path, max_tokens: int) -> Tokenizer:
    """Open a tokenizer that cuts texts, and the longer text of a pair, to so many tokens.

    Raises:
        ModelLoadError: It cannot be read.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing narrower
        raise unreadable(file, error) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def memory_error(error: Exception) -> MemoryError | None:
    """Translate what ONNX Runtime says where there is no memory, or return None."""
    said = str(error)
    return MemoryError(said) if "bad_alloc" in said or "ailed to allocate" in said else None


def refuse(path: Path, reason: str) -> ModelLoadError:
    """Return the error for a model that cannot be loaded."""
    way_out = "give a folder with an ONNX text embedding model and its tokenizer.json"
    return ModelLoadError(f"cannot load an ONNX model from {path}: {reason}; {way_out}")
