"""Embedding through the whole service beside a bare ONNX Runtime loop and fastembed, in turn.

All compute the same int8 model with as many threads as there are cores to share, over the same
texts. The service is also asked nearer to the model, to tell where its time goes.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling; as the gateway has it

import numpy as np
import ray
from chunks import WORD_PIECES, chunks, shared_model
from numpy.typing import NDArray
from report import PEER_PYTHON, RESULTS, median, ratios, require_peer, write
from sides import gateway, tree_cpu_s

from actors.engines.registry import BUILTIN, describe, open_engine
from actors.process import NAMESPACE
from cluster.client import ShoalClient
from cluster.protocol import EmbedReply
from cluster.session import STEWARD

_ROUTER = "router-0"
_THREADS = 2
_MOST_TOKENS = 256
_DEADLINE_S = 600.0
_PASSAGES = 15
_PEER = Path(__file__).with_name("embed_peer.py")
_FASTEMBED = [
    *({"batch": batch, "parallel": None} for batch in (1, 2, 4, 8, 32)),
    *({"batch": batch, "parallel": _THREADS} for batch in (1, 8)),
]
"""Its settings: in one process of two threads, or in worker processes that each call starts."""
_AS_MEASURED_BEFORE = {"batch": 8, "parallel": None}

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], tuple[float, Vectors]]
"""Texts → seconds, vectors."""
_Rounds = dict[str, list[float]]


def main() -> None:
    """Warm everything up, then let all embed the same texts in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS / "embed.json")
    arguments = parser.parse_args()
    require_peer()
    folder = shared_model("all-MiniLM-L6-v2-onnx")
    model = f"onnx:{folder}?max_tokens={_MOST_TOKENS}"
    texts = chunks(folder / "tokenizer.json", arguments.texts)
    with _service() as client, _peer("bare", folder) as bare, _peer("fastembed", folder) as fast:
        peers, best = _peers(bare, fast, texts)
        sides = peers | _layers(client, model)
        cosines = _cosines(sides, texts)
        seconds, cpu_s = _alternated(sides, texts, arguments.rounds)
        passage = _passage(client, texts)
    fastest = list(map(min, seconds["fastembed_batch_8"], seconds["fastembed_best"]))
    figures = {
        "embedded_with": str(describe(model).fingerprint),
        "texts": len(texts),
        "word_pieces": WORD_PIECES,
        "threads": _THREADS,
        "fastembed_best": best,
        "texts_per_s": {side: _rates(len(texts), took) for side, took in seconds.items()},
        "bare_over": {side: ratios(seconds["bare"], took) for side, took in seconds.items()},
        "bare_cpu_over": {side: ratios(cpu_s["bare"], spent) for side, spent in cpu_s.items()},
        "fastembed_over_client": ratios(fastest, seconds["client"]),
        "mean_cosine_with_bare": cosines,
        "passage_ms": passage,
    }
    write(arguments.out, figures)


@contextmanager
def _service() -> Iterator[ShoalClient]:
    """Run a gateway on a Ray that this process is in too, to ask its actors directly."""
    os.environ |= {"SHOAL_EMBEDDERS": "1", "SHOAL_THREADS": str(_THREADS)}
    ray.init(include_dashboard=False, log_to_driver=False, namespace=NAMESPACE)
    os.environ["SHOAL_RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    try:
        with tempfile.TemporaryDirectory() as root, gateway(Path(root)) as client:
            yield client
    finally:
        ray.shutdown()


@contextmanager
def _peer(side: str, folder: Path) -> Iterator[Callable[..., tuple[float, Vectors]]]:
    """Run a side of `embed_peer.py`; yields a function that asks it."""
    command = [PEER_PYTHON, "-P", _PEER, side, folder, str(_THREADS)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=environment, text=True, **pipes)

    def ask(texts: Sequence[str], **settings: Any) -> tuple[float, Vectors]:  # noqa: ANN401
        print(json.dumps({"texts": texts, **settings}), file=process.stdin, flush=True)
        answer = json.loads(process.stdout.readline())
        vectors = np.frombuffer(bytes.fromhex(answer["vectors"]), np.float32)
        return answer["s"], vectors.reshape(len(texts), -1)

    with process:
        yield ask


def _peers(
    bare: Embed, fast: Callable[..., tuple[float, Vectors]], texts: Sequence[str]
) -> tuple[dict[str, Embed], dict[str, Any]]:
    """Return the sides that are not ours, and the setting in which fastembed was the fastest."""
    fast(texts[:2], **_AS_MEASURED_BEFORE)
    best = min(_FASTEMBED, key=lambda setting: min(fast(texts, **setting)[0] for _ in range(2)))
    sides = {
        "bare": bare,
        "fastembed_batch_8": partial(fast, **_AS_MEASURED_BEFORE),
        "fastembed_best": partial(fast, **best),
    }
    return sides, best


def _layers(client: ShoalClient, model: str) -> dict[str, Embed]:
    """Return ways to embed, each of which holds the next: HTTP, router, actor, engine."""
    pool = ray.get(ray.get_actor(STEWARD).pool.remote(model, ""))
    router, actor = ray.get_actor(_ROUTER), ray.get_actor(*pool.embedders)
    engine = open_engine(describe(model), _THREADS)

    def through_client(texts: Sequence[str]) -> Vectors:
        return _unpacked(client.embed(texts, model=model, deadline_s=_DEADLINE_S))

    def through_router(texts: Sequence[str]) -> Vectors:
        vectors: Vectors = ray.get(router.embed.remote(model, texts, "document", _DEADLINE_S))
        return vectors

    def in_actor(texts: Sequence[str]) -> Vectors:
        vectors: Vectors = ray.get(actor.embed.remote(texts, "document")).vectors
        return vectors

    def in_process(texts: Sequence[str]) -> Vectors:
        return engine.embed(texts, "document")

    return {
        "client": partial(_timed, through_client),
        "router": partial(_timed, through_router),
        "actor": partial(_timed, in_actor),
        "engine": partial(_timed, in_process),
    }


def _timed(
    embed: Callable[[Sequence[str]], Vectors], texts: Sequence[str]
) -> tuple[float, Vectors]:
    started = time.perf_counter()
    vectors = embed(texts)
    return time.perf_counter() - started, vectors


def _unpacked(reply: EmbedReply) -> Vectors:
    return np.frombuffer(base64.b64decode(reply.data), "<f4").reshape(-1, reply.dimension)


def _cosines(sides: dict[str, Embed], texts: Sequence[str]) -> dict[str, float]:
    """Let every side embed once, and tell that all do the same work."""
    vectors = {side: embed(texts)[1] for side, embed in sides.items()}
    bare = vectors["bare"]
    return {side: round(float((bare * v).sum(axis=1).mean()), 4) for side, v in vectors.items()}


def _alternated(
    sides: dict[str, Embed], texts: Sequence[str], rounds: int
) -> tuple[_Rounds, _Rounds]:
    """Return each side's seconds and processor seconds; each round begins with another.

    Only one side works at a time, and all of them were started by this process.
    """
    seconds: _Rounds = {side: [] for side in sides}
    cpu_s: _Rounds = {side: [] for side in sides}
    names = list(sides)
    for number in range(rounds):
        first = number % len(names)
        for side in names[first:] + names[:first]:
            before = tree_cpu_s(os.getpid())
            seconds[side].append(sides[side](texts)[0])
            cpu_s[side].append(tree_cpu_s(os.getpid()) - before)
    return seconds, cpu_s


def _rates(texts: int, seconds: Sequence[float]) -> dict[str, Any]:
    rates = [round(texts / took, 1) for took in seconds]
    return {"rounds": rates, "median": median(rates)}


def _passage(client: ShoalClient, texts: Sequence[str]) -> dict[str, float]:
    """Return what each layer adds, in ms: with a model that is so fast that the way shows."""
    layers = _layers(client, BUILTIN)
    _cosines({"bare": layers["engine"], **layers}, texts)
    seconds, _ = _alternated(layers, texts, _PASSAGES)
    ms = {layer: median([took * 1e3 for took in seconds[layer]]) for layer in layers}
    return ms | {
        f"{outer}_less_{inner}": median(
            [(o - i) * 1e3 for o, i in zip(seconds[outer], seconds[inner], strict=True)]
        )
        for outer, inner in pairwise(layers)
    }


if __name__ == "__main__":
    main()
