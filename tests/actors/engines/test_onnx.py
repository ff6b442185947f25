"""The ONNX engine: graphs of every shape, what it computes of them, what it refuses."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto
from tiny_onnx_model import DIMENSION, INPUTS, describe_folder, open_folder, rows, write_model

from actors.engines import onnx as engine
from actors.engines import onnx_session
from actors.engines.base import silent
from actors.errors import InvalidRequest, ModelLoadError

TEXTS = ["sea wave", "", "parse json parse json", "wave"]


def unit(vector):
    return vector / np.linalg.norm(vector)


def pooling(**chosen):
    return {"1_Pooling/config": {f"pooling_mode_{name}": True for name in chosen}}


# What is computed


@pytest.mark.parametrize(
    "graph",
    [
        {},
        {"pooled": True},
        {"inputs": INPUTS[:2]},
        {"inputs": INPUTS[:1]},
        {"element": TensorProto.INT32},
        {"external": True},
        {"dynamic": True},
        {"file": "onnx/model.onnx"},
        {"file": "onnx/model.onnx", "external": True},
        {"file": "only.onnx"},
    ],
    ids=str,
)
def test_graphs_of_every_shape_give_the_normalised_mean_of_their_tokens(tmp_path, graph):
    model = open_folder(write_model(tmp_path, **graph))
    expected = [unit(rows("(", *tokens.split()).mean(axis=0)) for tokens in TEXTS]
    np.testing.assert_allclose(model.embed(TEXTS, "document"), expected, atol=1e-6)


def test_half_precision_gives_float32(tmp_path):
    folder = write_model(tmp_path, dtype=np.float16)
    vectors = open_folder(folder).embed(["sea"], "query")
    assert describe_folder(folder).fingerprint.dtype == "float16"
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[0], unit(rows("(", "sea").mean(axis=0)), atol=1e-3)


@pytest.mark.parametrize(("mode", "token"), [("cls_token", "("), ("lasttoken", "wave")])
def test_the_models_own_pooling_counts(tmp_path, mode, token):
    model = open_folder(write_model(tmp_path, **pooling(**{mode: True})))
    vectors = model.embed(["sea wave", "sea sea sea wave"], "query")
    np.testing.assert_allclose(vectors, [unit(rows(token)[0])] * 2, atol=1e-6)


def test_a_pooling_that_the_spec_names_wins(tmp_path):
    model = open_folder(write_model(tmp_path, **pooling(mean_tokens=True)), "pooling=cls")
    np.testing.assert_allclose(model.embed(["sea"], "query")[0], unit(rows("(")[0]), atol=1e-6)


def test_prefixes_dimension_and_length_come_from_the_spec(tmp_path):
    options = "query_prefix=wave%20&dimension=3&max_tokens=3"
    model = open_folder(write_model(tmp_path), options)
    expected = unit(rows("(", "wave", "sea").mean(axis=0)[:3])
    np.testing.assert_allclose(model.embed(["sea json"], "query")[0], expected, atol=1e-6)
    assert model.dimension == 3


def test_lone_surrogates_and_endless_texts_are_read(tmp_path):
    model = open_folder(write_model(tmp_path))
    vectors = model.embed(["sea \ud800 wave", "sea wave", "x" * 5_000_000], "document")
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_texts_come_back_in_their_order_from_many_windows(tmp_path):
    model = open_folder(write_model(tmp_path))
    texts = [" ".join(["sea"] * (i % 7) + ["json"] * (i % 5)) for i in range(3 * engine.WINDOW)]
    alone = np.concatenate([model.embed([text], "document") for text in texts])
    counts = np.zeros(len(texts), np.int32)
    np.testing.assert_allclose(model.embed(texts, "document", counts), alone, atol=1e-6)
    assert counts.tolist() == [1 + len(text.split()) for text in texts]
    model.embed(texts[8:9], "document", counts[:1])
    assert counts[0] == counts[8]
    assert model.embed([], "document").shape == (0, DIMENSION)


def test_threads_get_the_vectors_that_one_caller_gets(tmp_path):
    model = open_folder(write_model(tmp_path))
    expected = model.embed(TEXTS, "document")
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: model.embed(TEXTS, "document"), range(40)):
            np.testing.assert_allclose(vectors, expected, atol=1e-6)


@pytest.mark.parametrize(("dynamic", "most"), [(True, 1), (False, 8)])
def test_only_graphs_whose_vectors_depend_on_their_company_run_one_text_at_a_time(
    tmp_path, monkeypatch, dynamic, most
):
    model = open_folder(write_model(tmp_path, dynamic=dynamic))
    compute, sizes = model._compute, []
    monkeypatch.setattr(model, "_compute", lambda ids: sizes.append(len(ids)) or compute(ids))
    model.embed(["sea"] * 20, "document")
    assert max(sizes) == most
    assert sum(sizes) == 20


# Its life


def test_loading_tells_how_many_bytes_are_read(tmp_path):
    told = []
    card = describe_folder(write_model(tmp_path))
    engine.open_model(card, 1, lambda *step: told.append(step))
    size = (tmp_path / "model.onnx").stat().st_size
    assert told == [("reading", size, size), ("loading", 0, 0)]
    told.clear()
    engine.open_model(replace(card, prefault=False), 1, lambda *step: told.append(step))
    assert told == [("loading", 0, 0)]


def test_caches_can_be_dropped_while_the_model_goes_on(tmp_path):
    model = open_folder(write_model(tmp_path))
    before = model.embed(TEXTS, "document")
    model.drop_caches()
    np.testing.assert_array_equal(model.embed(TEXTS, "document"), before)


@pytest.mark.parametrize("texts", [["sea"], ["sea", "wave"]])
def test_a_closed_engine_refuses_to_embed_and_closes_again(tmp_path, texts):
    model = open_folder(write_model(tmp_path))
    model.close()
    model.close()
    with pytest.raises(RuntimeError):
        model.embed(texts, "query")


def test_what_onnx_runtime_says_at_the_memory_limit_is_a_memory_error():
    said = RuntimeError("[ONNXRuntimeError] : 1 : FAIL : std::bad_alloc")
    assert isinstance(onnx_session.memory_error(said), MemoryError)
    assert onnx_session.memory_error(RuntimeError("Load model failed")) is None


# Its vector space


def test_the_fingerprint_names_what_decides_the_vectors(tmp_path):
    found = describe_folder(write_model(tmp_path), "document_prefix=sea&dimension=2").fingerprint
    assert (found.engine, found.dtype, found.pooling) == ("onnx", "float32", "mean")
    assert (found.document_prefix, found.dimension) == ("sea", 2)
    pooled = describe_folder(write_model(tmp_path, pooled=True, dynamic=True)).fingerprint
    assert (pooled.dtype, pooled.pooling) == ("int8", "graph")


@pytest.mark.parametrize("changed", ["model.onnx", "model.onnx_data", "tokenizer.json"])
def test_a_change_in_any_file_of_weights_changes_the_fingerprint(tmp_path, changed):
    before = describe_folder(write_model(tmp_path, external=True)).fingerprint
    assert describe_folder(tmp_path).fingerprint == before
    with (tmp_path / changed).open("ab") as file:
        file.write(b" " if changed != "model.onnx" else b"\x1a\x01a")  # a model's domain: "a"
    assert describe_folder(tmp_path).fingerprint != before


def test_a_file_that_changes_without_changing_its_size_is_hashed_again(tmp_path):
    before = describe_folder(write_model(tmp_path)).fingerprint
    tokenizer = tmp_path / "tokenizer.json"
    stat = tokenizer.stat()
    tokenizer.write_bytes(tokenizer.read_bytes().replace(b"wave", b"wafe"))
    os.utime(tokenizer, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert describe_folder(tmp_path).fingerprint != before


def test_of_several_files_the_smallest_is_taken_and_any_can_be_named(tmp_path):
    write_model(tmp_path)
    write_model(tmp_path, file="onnx/model_quantized.onnx")
    write_model(tmp_path, file="other.onnx")
    assert describe_folder(tmp_path).path == tmp_path / "onnx" / "model_quantized.onnx"
    assert describe_folder(tmp_path / "other.onnx").path == tmp_path / "other.onnx"


# Models that cannot be loaded


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.onnx", b""),
        ("model.onnx", b"\xff" * 64),
        ("model.onnx", b"<!doctype html>"),
        ("config.json", b"{"),
        ("config.json", b"[1]"),
        ("tokenizer.json", b"{}"),
        ("modules.json", b"[1]"),
        ("sentence_bert_config.json", b"\xff"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content):
    (write_model(tmp_path) / name).write_bytes(content)
    with pytest.raises(ModelLoadError, match=str(tmp_path / name)):
        open_folder(tmp_path)


def test_a_graph_that_is_cut_off_is_refused(tmp_path):
    file = write_model(tmp_path) / "model.onnx"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ModelLoadError, match=str(file)):
        open_folder(tmp_path)


def test_a_graph_that_onnx_runtime_cannot_load_is_refused(tmp_path):
    card = describe_folder(write_model(tmp_path))
    card.path.write_bytes(card.path.read_bytes().replace(b"Gather", b"Gothic"))
    with pytest.raises(ModelLoadError, match="ONNX Runtime says"):
        engine.open_model(card, 1, silent)


@pytest.mark.parametrize("missing", ["model.onnx", "model.onnx_data", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path, missing):
    (write_model(tmp_path, external=True) / missing).unlink()
    with pytest.raises(ModelLoadError, match=missing.replace(".", r"\.")):
        describe_folder(tmp_path)


@pytest.mark.parametrize(
    ("graph", "asked"),
    [
        ({"inputs": (*INPUTS, "pixel_values")}, "pixel_values"),
        ({"element": TensorProto.FLOAT}, "input_ids"),
    ],
)
def test_inputs_that_no_text_gives_are_refused(tmp_path, graph, asked):
    write_model(tmp_path, **graph)
    with pytest.raises(ModelLoadError, match=f"asks for {asked}"):
        describe_folder(tmp_path)


def test_layers_that_the_graph_lacks_are_refused(tmp_path):
    dense = {"type": "sentence_transformers.models.Dense", "path": "2_Dense"}
    write_model(tmp_path, modules=[dense])
    with pytest.raises(ModelLoadError, match="layers follow"):
        describe_folder(tmp_path)
    describe_folder(write_model(tmp_path, pooled=True, modules=[dense]))


@pytest.mark.parametrize("option", ["dimension=7", "max_tokens=17"])
def test_more_than_the_model_has_is_refused(tmp_path, option):
    with pytest.raises(InvalidRequest, match=option.partition("=")[2]):
        describe_folder(write_model(tmp_path), option)
