"""A model's name leads to its files and its engine, or to an error that says what to do."""

import sys

import pytest
import tiny_onnx_model
import tiny_static_model

from actors.engines import files, registry
from actors.engines.registry import BUILTIN, describe, open_engine
from actors.errors import InvalidRequest, ModelLoadError


def transformer(folder):
    tiny_static_model.write_model(folder, architectures=["BertModel"])
    tiny_static_model.save_file(
        {"encoder.weight": tiny_static_model.table()}, folder / "model.safetensors"
    )
    return folder


def gguf(folder):
    folder.mkdir()
    (folder / "model.Q8_0.gguf").write_bytes(b"GGUF")
    return folder


@pytest.mark.parametrize(
    ("write", "engine"),
    [
        (tiny_static_model.write_model, "static"),
        (tiny_onnx_model.write_model, "onnx"),
        (gguf, "gguf"),
        (transformer, "vllm"),
    ],
)
def test_the_engine_is_found_out_from_what_a_folder_holds(tmp_path, write, engine):
    assert registry._engine_of(write(tmp_path / "model")) == engine


def test_a_file_stands_for_itself(tmp_path):
    folder = tiny_onnx_model.write_model(tmp_path, file="other.onnx")
    tiny_onnx_model.write_model(tmp_path)
    assert describe(str(folder / "other.onnx")).path == folder / "other.onnx"


@pytest.mark.parametrize("model", [BUILTIN, "builtin"])
def test_the_builtin_model_is_static(model):
    assert str(describe(model).spec) == BUILTIN


def test_the_card_says_which_engine_was_found(tmp_path):
    folder = tiny_onnx_model.write_model(tmp_path)
    assert str(describe(f"{folder}?dimension=2").spec) == f"onnx:{folder}/model.onnx?dimension=2"


def test_a_card_is_all_that_opening_needs(tmp_path):
    card = describe(str(tiny_onnx_model.write_model(tmp_path)))
    engine = open_engine(card, threads=2)
    assert engine.embed(["sea"], "query").shape == (1, card.fingerprint.dimension)


def test_a_folder_that_no_engine_can_load_is_refused_with_what_was_looked_for(tmp_path):
    with pytest.raises(ModelLoadError, match=r"static.*onnx.*gguf.*vllm") as raised:
        describe(str(tmp_path))
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("model", ["", "static:", "a/b/c/d", "onnx:no where"])
def test_what_is_no_name_is_refused(model):
    with pytest.raises(InvalidRequest):
        describe(model)


def test_an_engine_whose_library_is_missing_says_what_to_install(tmp_path, monkeypatch):
    card = describe(str(tiny_onnx_model.write_model(tmp_path)))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelLoadError, match="needs onnxruntime: pip install onnxruntime"):
        open_engine(card)


def test_files_are_hashed_once(tmp_path):
    folder = tiny_onnx_model.write_model(tmp_path)
    describe(str(folder))
    before = files._file_digest.cache_info()
    describe(str(folder))
    after = files._file_digest.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 2)
