"""MiniLM in plain NumPy, float32: what the engines' vectors are compared with.

Layers as in Devlin et al. 2018 with the weights' own names; mean pooling and L2 norm after them.
"""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS, EPSILON = 12, 1e-12


def _erf(x):
    """Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    factors = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    series = np.zeros_like(x)
    for factor in factors:
        series = (series + np.float32(factor)) * t
    return np.sign(x) * (1 - series * np.exp(-x * x))


def minilm_folder():
    """Return the folder of MiniLM's safetensors; skip where there is none, fail in CI."""
    folder = os.environ.get("SHOAL_MINILM")
    if folder and (Path(folder) / "model.safetensors").is_file():
        return Path(folder)
    reason = "SHOAL_MINILM names no folder with MiniLM's model.safetensors; `make test` sets it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Reference:
    """The sentence transformer all-MiniLM-L6-v2, one text at a time."""

    def __init__(self, folder, max_tokens=256):
        self.weights = load_file(folder / "model.safetensors")
        config = json.loads((folder / "config.json").read_text())
        self.layers = config["num_hidden_layers"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)

    def embed(self, texts):
        return np.stack([self._one(self.tokenizer.encode(text).ids) for text in texts])

    def _one(self, ids):
        pooled = self.hidden(ids).mean(axis=0)
        return pooled / np.linalg.norm(pooled)

    def hidden(self, ids):
        """float32 [tokens, 384]."""
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm("embeddings.LayerNorm", x)
        for number in range(self.layers):
            layer = f"encoder.layer.{number}."
            attended = self._dense(layer + "attention.output.dense", self._attend(layer, x))
            x = self._norm(layer + "attention.output.LayerNorm", x + attended)
            inner = self._dense(layer + "intermediate.dense", x)
            inner = inner * (1 + _erf(inner / np.float32(math.sqrt(2)))) / 2
            x = self._norm(
                layer + "output.LayerNorm", x + self._dense(layer + "output.dense", inner)
            )
        return x

    def _attend(self, layer, x):
        query, key, value = (
            self._dense(f"{layer}attention.self.{part}", x)
            .reshape(len(x), HEADS, -1)
            .swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.float32(math.sqrt(query.shape[-1]))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return (scores @ value).swapaxes(0, 1).reshape(len(x), -1)

    def _dense(self, name, x):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def _norm(self, name, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]
