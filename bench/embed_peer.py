"""What `embed.py` is measured against, in a process of .venv-bench: a bare loop, and fastembed.

    embed_peer.py bare|fastembed FOLDER THREADS

Reads a JSON object a line, {"texts": […], "batch": 8, "parallel": null}, and answers with the
seconds that embedding took and the vectors as hexadecimal float32.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from tokenizers import Tokenizer

_FILE = "model_quantized.onnx"
_OUTPUT = "sentence_embedding"
_DIMENSION = 384
_MOST_TOKENS = 256

Embed = Callable[..., Any]


def main() -> None:
    """Load a side, then embed what is asked."""
    side, folder, threads = sys.argv[1:]
    embed = {"bare": _bare, "fastembed": _fastembed}[side](Path(folder), int(threads))
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        vectors = np.array(embed(**request), np.float32)
        took = time.perf_counter() - started
        print(json.dumps({"s": took, "vectors": vectors.tobytes().hex()}), flush=True)


def _bare(folder: Path, threads: int) -> Embed:
    """Return the shortest program that is fast: each thread tokenises and computes a text."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MOST_TOKENS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(folder / _FILE), options)
    names = [given.name for given in session.get_inputs()]
    pool = ThreadPoolExecutor(threads)

    def one(text: str) -> Any:  # noqa: ANN401 - an array
        ids = np.array([tokenizer.encode(text).ids])
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        feed["token_type_ids"] = np.zeros_like(ids)
        (vector,) = session.run([_OUTPUT], {name: feed[name] for name in names})[0]
        return vector

    def embed(texts: Sequence[str]) -> list[Any]:
        return list(pool.map(one, texts))

    return embed


def _fastembed(folder: Path, threads: int) -> Embed:
    name = "shoal-bench/minilm-int8"
    TextEmbedding.add_custom_model(
        model=name,
        pooling=PoolingType.DISABLED,  # the graph pools
        normalization=True,
        sources=ModelSource(hf=name),
        dim=_DIMENSION,
        model_file=_FILE,
        output_name=_OUTPUT,
    )
    model = TextEmbedding(name, threads=threads, specific_model_path=str(folder))

    def embed(texts: Sequence[str], batch: int, parallel: int | None) -> list[Any]:
        return list(model.embed(texts, batch_size=batch, parallel=parallel))

    return embed


if __name__ == "__main__":
    main()
