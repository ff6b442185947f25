"""vLLM on a GPU: vectors beside float32, texts a second beside bare `LLM.embed`, and its memory.

Needs a CUDA GPU, vLLM, sentence-transformers and Ray; SHOAL_MINILM names the folder of MiniLM's
safetensors. Bare calls and the engine share a model in this process, the actor has its own; the
three embed in turn.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# Ray's own spelling; as the gateway has them.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

import numpy as np
import ray
from chunks import WORD_PIECES, pieces
from numpy.typing import NDArray
from ray.actor import ActorHandle
from report import MB, REPOSITORY, RESULTS, median, summary, write
from vllm_embed import MOST_TOKENS, Embed, alternated, calls_of, through

from actors.embedder import Embedder, EmbedderConfig
from actors.engines.base import ModelCard
from actors.engines.registry import describe, open_engine
from actors.engines.vllm import VllmEngine
from actors.memory import limit_for
from actors.process import MemoryConfig, find_or_make

_FOLDERS = ("actors", "cluster", "mcp_adapter", "tests", "bench")
_THREADS = 2
_PARAGRAPHS = 600
_CHUNKS = 1024
_QUERIES = 100
_BATCHES = (64, 256)
_BALLAST = 8 << 20

Matrix = NDArray[np.float32]


def main() -> None:
    """Measure the reference in a process of its own, then Shoal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS / "vllm_gpu.json")
    arguments = parser.parse_args()
    folder = Path(os.environ["SHOAL_MINILM"]).resolve()
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        expected, beside = apart.submit(_sentence_transformers, folder, arguments.rounds).result()
    card = describe(f"vllm:{folder}")
    limit = limit_for(card.footprint.total, most=1 << 60)
    engine, load_s = _timed(lambda: open_engine(replace(card, budget=limit), _THREADS))
    assert isinstance(engine, VllmEngine)  # noqa: S101
    ray.init(num_cpus=_THREADS, include_dashboard=False, log_to_driver=False)
    replica = _replica(card, limit)
    figures = {
        "gpu": _gpu(),
        "parity": _parity(engine, replica, expected),
        "speed": _speed(engine, replica, folder, arguments.rounds) | beside,
        "load_s": round(load_s, 1),
        "memory": _memory(engine, replica, limit),
        "versions": {
            name: version(name)
            for name in ("vllm", "torch", "transformers", "sentence-transformers")
        },
    }
    write(arguments.out, figures)


def _sentence_transformers(folder: Path, rounds: int) -> tuple[Matrix, dict[str, Any]]:
    """Return vectors in float32, and texts a second in float16."""
    import torch  # type: ignore[import-not-found]  # noqa: PLC0415 - in this process alone
    from sentence_transformers import (  # type: ignore[import-not-found]  # noqa: PLC0415
        SentenceTransformer,
    )

    torch.backends.cuda.matmul.allow_tf32 = False
    model = SentenceTransformer(str(folder), device="cuda")
    expected = model.encode(_paragraphs(), batch_size=32, normalize_embeddings=True)
    model.half()
    chunks = _chunks(folder)
    rates = {}
    for batch in _BATCHES:
        model.encode(chunks, batch_size=batch)
        encode = partial(model.encode, chunks, batch_size=batch)
        rates[str(batch)] = median([len(chunks) / _timed(encode)[1] for _ in range(rounds)])
    return expected, {"sentence_transformers_fp16_texts_per_s_by_batch": rates}


def _replica(card: ModelCard, limit: int) -> ActorHandle[Any]:
    memory = MemoryConfig(limit, 0.8, 0.95, "auto", 80 << 20)
    model = f"vllm:{card.path}"
    replica: ActorHandle[Any] = find_or_make(
        Embedder, EmbedderConfig("bench", model, str(card.fingerprint), -1, _THREADS, memory)
    )
    return replica


def _parity(engine: VllmEngine, replica: ActorHandle[Any], expected: Matrix) -> dict[str, Any]:
    texts = _paragraphs()
    figures: dict[str, Any] = {"texts": len(texts), "tokens_at_most": MOST_TOKENS}
    sides = {"engine": lambda it: engine.embed(it, "document"), "actor": through(replica)}
    for name, embed in sides.items():
        cosines = (embed(texts) * expected).sum(axis=1)
        figures[f"{name}_cosine"] = {
            "mean": round(float(cosines.mean()), 5),
            "least": round(float(cosines.min()), 5),
        }
    return figures


def _speed(
    engine: VllmEngine, replica: ActorHandle[Any], folder: Path, rounds: int
) -> dict[str, Any]:
    texts = _chunks(folder)
    sides: dict[str, Embed] = {
        "bare": calls_of(engine._llm),
        "engine": lambda it: engine.embed(it, "document"),
        "actor": through(replica),
    }
    for embed in sides.values():
        embed(texts)
    per_s = alternated(sides, texts, rounds)
    queries = [f"where is number {number} read from the file?" for number in range(_QUERIES)]
    waits = [1e3 * _timed(partial(engine.embed, [query], "query"))[1] for query in queries]
    return {
        "texts": len(texts),
        "word_pieces": WORD_PIECES,
        "texts_per_s": {name: [round(r, 1) for r in rates] for name, rates in per_s.items()},
        "median_texts_per_s": {name: median(rates) for name, rates in per_s.items()},
        "engine_over_bare": _over(per_s["engine"], per_s["bare"]),
        "actor_over_bare": _over(per_s["actor"], per_s["bare"]),
        "engine_query_ms": summary(waits),
    }


def _over(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    pairs = [round(a / b, 3) for a, b in zip(ours, theirs, strict=True)]
    return {"pairs": pairs, "median": median(pairs)}


def _memory(engine: VllmEngine, replica: ActorHandle[Any], limit: int) -> dict[str, Any]:
    """Tell what both hold after their work; then fill the engine's budget, and embed beyond it.

    The two share the pages of their libraries: a replica alone has a larger PSS.
    """
    import torch  # noqa: PLC0415 - vLLM has loaded it

    status = ray.get(replica.status.remote())
    figures: dict[str, Any] = {
        "budget_mb": round(limit / MB),
        "replica": {
            "pss_mb": round(status.pss_bytes / MB),
            "peak_mb": round(status.peak_bytes / MB),
            "pressure": status.pressure,
            "enforcement": status.enforcement,
            "gpu_mb": _gpu_mb(status.pid),
            "load_s": status.detail["load_s"],
        },
        "engine_gpu_mb": _gpu_mb(os.getpid()),
        "engine_tensors_peak_mb": round(torch.cuda.max_memory_reserved() / MB),
    }
    texts = _paragraphs()
    before = engine.embed(texts, "document")
    ballast = []
    refused = ""
    try:
        while True:
            ballast.append(torch.empty(_BALLAST, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
    try:
        engine.embed(texts, "document")
    except MemoryError:
        refused = "MemoryError"
    figures["filled"] = {"engine_gpu_mb": _gpu_mb(os.getpid()), "embed": refused or "embedded"}
    ballast.clear()
    torch.cuda.empty_cache()
    after = engine.embed(texts, "document")
    figures["filled"]["cosine_afterwards"] = round(float((before * after).sum(axis=1).min()), 5)
    return figures


def _gpu() -> dict[str, Any]:
    import torch  # noqa: PLC0415 - vLLM has loaded it

    card = torch.cuda.get_device_properties(0)
    return {"name": card.name, "memory_mb": round(card.total_memory / MB)}


def _gpu_mb(process: int) -> int:
    """Return what the driver says that a process holds of the GPU, its CUDA context included."""
    asked = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    held = dict(line.split(", ") for line in found.splitlines())
    return round((int(held[str(process)]) << 20) / MB)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _sources() -> list[str]:
    files = [file for folder in _FOLDERS for file in sorted((REPOSITORY / folder).rglob("*.py"))]
    return [file.read_text(encoding="utf-8") for file in files]


def _paragraphs() -> list[str]:
    """Take functions and classes of this repository, short and long, spread over its files."""
    parts = [part.strip() for source in _sources() for part in source.split("\n\n\n")]
    parts = [part for part in parts if len(part) > 40]  # noqa: PLR2004
    return parts[:: max(1, len(parts) // _PARAGRAPHS)][:_PARAGRAPHS]


def _chunks(folder: Path) -> list[str]:
    return pieces("\n".join(_sources()), folder / "tokenizer.json", _CHUNKS)


if __name__ == "__main__":
    main()
