"""MiniLM through the ONNX engine, beside the same weights in plain NumPy."""

import inspect
import json
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import pytest
from minilm_onnx import write_minilm
from minilm_reference import Reference, minilm_folder
from shared_files import shared_file
from tiny_onnx_model import write_model

from actors.engines.quantize import quantize
from actors.engines.registry import describe, open_engine
from actors.errors import Conflict, InvalidRequest, ModelLoadError

HAS_VNNI = "vnni" in Path("/proc/cpuinfo").read_text()
INT8_AGREES = 0.993 if HAS_VNNI else 0.99
"""Processors without VNNI add up pairs of products in 16 bits, where large ones saturate."""

# Loads a model, embeds long texts in two threads and a query beside them, and tells how much PSS
# that took, beside the estimate.
GROWTH = """
import json, sys
import psutil
from actors.engines.registry import describe, open_engine

def pss():
    return psutil.Process().memory_full_info().pss

card = describe(sys.argv[1])
before = pss()
engine = open_engine(card, threads=2)
for _ in range(3):
    engine.embed(["def sea(wave): return parse(json) " * 1000] * 12, "document")
engine.embed(["sea"], "query")
print(json.dumps({"used": pss() - before, "expected": card.footprint.total}))
"""


@pytest.fixture(scope="module")
def texts():
    """Real sentences of all lengths, some of them code."""
    source = inspect.getsource(unittest.case).split("\n\n")
    return [part.strip()[:250] for part in source if len(part) > 40][:110]


@pytest.fixture(scope="module")
def expected(texts):
    return Reference(minilm_folder()).embed(texts)


@pytest.fixture(scope="module")
def float_folder(tmp_path_factory):
    return write_minilm(minilm_folder(), tmp_path_factory.mktemp("minilm"))


def cosines(model, texts, expected):
    engine = open_engine(describe(model), threads=2)
    vectors = engine.embed(texts, "document")
    engine.close()
    assert len(texts) >= 100
    return np.einsum("ij,ij->i", vectors, expected)


def test_float32_agrees_with_the_reference_in_batches_of_any_company(float_folder, texts, expected):
    assert cosines(f"onnx:{float_folder / 'model.onnx'}", texts, expected).min() >= 0.99999


def test_int8_agrees_with_the_reference(texts, expected):
    folder = shared_file("models/all-MiniLM-L6-v2-onnx")
    found = cosines(f"onnx:{folder}?max_tokens=256", texts, expected)
    assert found.mean() >= INT8_AGREES


def test_the_files_conventions_are_found(float_folder):
    card = describe(str(float_folder))
    assert (card.spec.engine, card.max_tokens) == ("onnx", 256)
    assert (card.fingerprint.pooling, card.fingerprint.dimension) == ("mean", 384)


def test_a_quantised_model_is_small_and_agrees_with_the_reference(float_folder, texts, expected):
    report = quantize(f"onnx:{float_folder}")
    assert report.target == float_folder / "model_quantized.onnx"
    assert report.target_bytes < 0.3 * report.source_bytes
    assert report.cosine_mean >= INT8_AGREES
    assert report.cosine_mean > report.cosine_min > 0.9
    assert min(report.source_texts_per_s, report.target_texts_per_s) > 0
    assert cosines(f"onnx:{float_folder}", texts, expected).mean() >= INT8_AGREES
    assert describe(f"onnx:{float_folder}").fingerprint.dtype == "int8"
    assert [path.name for path in float_folder.iterdir() if path.name.startswith(".")] == []


def test_a_quantised_model_is_written_again_only_over_its_like(float_folder):
    target = float_folder / "model_quantized.onnx"
    quantize(f"onnx:{float_folder}")
    target.write_bytes(target.read_bytes() + b"\x1a\x01a")
    with pytest.raises(Conflict, match="move it away"):
        quantize(f"onnx:{float_folder}")
    target.unlink()


def test_what_is_no_float_model_is_not_quantised(tmp_path, monkeypatch):
    with pytest.raises(InvalidRequest, match=r"model\.onnx"):
        quantize("onnx:someone/repository")
    folder = write_model(tmp_path / "float")
    damaged = write_model(tmp_path / "damaged") / "model.onnx"
    damaged.write_bytes(b"no model")
    with pytest.raises(ModelLoadError, match=str(damaged)):
        quantize(str(damaged))
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(ModelLoadError, match=r"shoal\[quantize\]"):
        quantize(str(folder))


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_a_model_does_not_need_more_than_was_estimated(kind, request):
    model = shared_file("models/all-MiniLM-L6-v2-onnx")
    if kind == "float32":
        model = request.getfixturevalue("float_folder") / "model.onnx"
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, f"onnx:{model}"], capture_output=True, text=True, check=True
    )
    measured = json.loads(done.stdout)
    assert measured["used"] <= measured["expected"] <= 4 * measured["used"]
