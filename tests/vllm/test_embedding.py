"""MiniLM through vLLM on CPU, beside the same weights in plain NumPy."""

import inspect
import threading
import unittest
from dataclasses import replace

import numpy as np
import pytest
from minilm_reference import Reference

from actors.engines.vllm import VllmEngine

pytestmark = pytest.mark.filterwarnings("default")  # torch and vLLM warn while they load


@pytest.fixture(scope="module")
def reference(folder):
    return Reference(folder)


def test_bfloat16_agrees_with_the_reference(engine, reference):
    source = inspect.getsource(unittest.case).split("\n\n")
    texts = [part.strip()[:250] for part in source if len(part) > 40][:110]
    vectors = engine.embed(texts, "document")
    assert len(texts) >= 100
    assert np.einsum("ij,ij->i", vectors, reference.embed(texts)).mean() >= 0.999


def test_a_long_text_is_read_up_to_the_models_limit(engine, reference):
    texts = [inspect.getsource(unittest.case), "word " * 254 + "x", "word " * 254 + "other " * 100]
    vectors = engine.embed(texts, "document")
    assert vectors[0] @ reference.embed(texts[:1])[0] >= 0.999
    assert vectors[1] @ vectors[2] >= 0.9999


def test_each_row_has_length_one_and_the_place_of_its_text(engine, reference):
    texts = ["a long one " * 9, "", "short", "b\ud800c", "x" * 100_000, *map(str, range(100))]
    vectors = engine.embed(texts, "document")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    encodable = [text.replace("\ud800", "") for text in texts]
    assert np.einsum("ij,ij->i", vectors, reference.embed(encodable)).min() >= 0.99


def test_several_threads_get_their_own_answers(engine):
    texts = [f"text number {number}" for number in range(8)]
    expected = engine.embed(texts, "document")
    found = {}

    def ask(number):
        found[number] = engine.embed([texts[number]], "query")[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = np.stack([found[number] for number in range(8)])
    assert np.einsum("ij,ij->i", together, expected).min() >= 0.999
    assert np.linalg.matrix_rank(together) == 8


def test_prefix_and_dimension_are_those_of_the_card(engine, card):
    name = replace(card.fingerprint, query_prefix="query: ", dimension=64)
    small = VllmEngine(replace(card, fingerprint=name), engine._thread, engine._llm)
    first = engine.embed(["query: sea"], "document")[0, :64]
    vector = small.embed(["sea"], "query")[0]
    assert vector.shape == (64,)
    assert vector @ first / np.linalg.norm(first) >= 0.9999
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(small.embed(["sea"], "document")[0], vector, atol=0.01)


def test_a_computation_that_failed_leaves_nothing_to_the_next_call(engine, monkeypatch):
    expected = engine.embed(["sea"], "query")
    executor = engine._llm.llm_engine.engine_core.engine_core.model_executor

    def run_out(*_, **__):
        message = "CUDA out of memory. Tried to allocate 20.00 MiB."
        raise RuntimeError(message)

    with monkeypatch.context() as patched:
        patched.setattr(executor, "execute_model", run_out)
        with pytest.raises(MemoryError, match="Tried to allocate"):
            engine.embed(["wave", "ship"], "document")
    assert engine.embed(["sea"], "query")[0] @ expected[0] >= 0.9999


def test_a_closed_engine_says_so(engine, card):
    other = VllmEngine(card, engine._thread, engine._llm)
    other.close()
    other.close()
    with pytest.raises(RuntimeError, match="closed"):
        other.embed(["sea"], "query")


def test_a_load_tells_how_far_it_is(engine, card, told):
    size = (card.path / "model.safetensors").stat().st_size
    assert ("reading", size, size) in told
    assert [phase for phase, _, _ in told[-2:]] == ["importing vLLM", "loading"]
