"""Models as a user meets them: named, listed, changed, quantised, and never loaded unasked."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import run_shoal
from host import environment, sdk_host
from own_gateway import LIAR, own_gateway
from tiny_onnx_model import DIMENSION, write_model
from waiting import until

from actors.catalog import Catalog
from actors.engines import files
from actors.engines.registry import describe
from actors.errors import ModelMismatch
from actors.storage import Storage
from cluster import daemon, models
from cluster.protocol import IngestChunk, Model

WEIGHTS = (".safetensors", ".onnx", ".gguf")
TEXT = "parse json waves\n"


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """A small folder to index, and a tiny model beside it."""
    made = tmp_path_factory.mktemp("models")
    (made / "docs").mkdir()
    (made / "docs" / "sea.md").write_text(TEXT)
    write_model(made / "tiny")
    return made


@pytest.fixture(scope="module")
def own(top):
    """A gateway with a collection of the built-in model and one of the tiny model."""
    with own_gateway(top / "root", PYTHONPATH=str(LIAR)) as shoal:
        shoal.wait(shoal.index([top / "docs"], collection="builtin"))
        relative = ("docs", "--collection", "tiny", "--model", "tiny")
        assert run(shoal, "index", *relative, cwd=top).returncode == 0
        yield shoal


def run(shoal, *args, **options):
    return run_shoal(*map(str, args), "--root", shoal.settings.root, **options)


def listed(shoal, name):
    return next(model for model in shoal.models() if model.name == name)


def embedders(shoal):
    return {r.detail["model"]: r for r in shoal.status().replicas if r.kind == "Embedder"}


def tiny_name(top):
    """Return the tiny model's name as it is settled: by its file."""
    return f"onnx:{top / 'tiny' / 'model.onnx'}"


def restart(shoal):
    shoal.close()
    daemon.stop(shoal.settings)
    daemon.find_or_start(shoal.settings)


def test_a_collection_records_its_model_and_searches_and_updates_use_it(own, top):
    name = tiny_name(top)
    assert listed(own, name).collections == ("tiny",)
    recorded = {c.name: c.model for c in own.collections()}["tiny"]
    assert recorded == str(describe(name).fingerprint)
    before = embedders(own)[name].detail["texts"]
    found = own.search("sea wave", mode="semantic", collections=["tiny"])
    assert [hit.path for hit in found.hits] == ["sea.md"]
    assert embedders(own)[name].detail["texts"] == before + 1
    (top / "docs" / "more.md").write_text("json\n")
    job = own.wait(own.index([top / "docs"], collection="tiny"))
    assert (job.generation, job.files_changed) == (2, 1)
    assert embedders(own)[name].detail["texts"] == before + 2
    (top / "docs" / "more.md").unlink()


def test_collections_of_two_models_are_searched_together(own):
    answer = own.search("wave", mode="semantic", collections=["builtin", "tiny"])
    assert {hit.collection for hit in answer.hits} == {"builtin", "tiny"}
    assert answer.coverage == 1.0


def test_a_collection_is_not_indexed_with_another_model(own, top):
    done = run(own, "index", top / "docs", "--collection", "tiny", "--model", "static:builtin")
    assert done.returncode == 1
    assert "the vectors of collection 'tiny' were made by onnx/" in done.stderr
    assert "index into another --collection, or `shoal delete tiny` first" in done.stderr
    named = run(own, "index", top / "docs", "--collection", "tiny", "--model", top / "tiny")
    assert named.returncode == 0


def test_a_model_that_cannot_be_is_refused_before_any_job(own, top):
    done = run(own, "index", top / "docs", "--collection", "none", "--model", top / "docs")
    assert done.returncode == 1
    assert f"no engine can load {top / 'docs'}" in done.stderr
    assert "none" not in {c.name for c in own.collections()}


def test_vectors_that_were_handed_in_and_those_of_models_are_told_apart(own):
    vector = [1.0] + [0.0] * (DIMENSION - 1)
    own.ingest([IngestChunk(path="own", text=TEXT)], [vector], collection="own")
    by_text = {c.name: c for c in own.search("wave").collections}
    assert (by_text["tiny"].coverage, by_text["own"].coverage) == (1.0, 0.0)
    assert "give the query's vector" in by_text["own"].problem
    by_vector = own.search(mode="semantic", vector=vector)
    coverage = {c.name: c.coverage for c in by_vector.collections}
    assert coverage == {"builtin": 0.0, "own": 1.0, "tiny": 1.0}
    with pytest.raises(ModelMismatch, match="take another collection"):
        own.ingest([IngestChunk(path="text", text=TEXT)], collection="own")
    own.delete("own")


def test_other_files_of_a_model_are_not_taken_for_it(own, top):
    model = write_model(top / "changing", dtype=np.float16)
    own.wait(own.index([top / "docs"], collection="changed", model=str(model)))
    write_model(model, pooled=True)
    restart(own)
    with pytest.raises(ModelMismatch, match=r"put the old files back, .* search with mode lexical"):
        own.search("wave", collections=["changed"])
    with pytest.raises(ModelMismatch, match="`shoal delete changed` first"):
        own.wait(own.index([top / "docs"], collection="changed"))
    assert own.search("waves", mode="lexical", collections=["changed"]).hits
    of_all = {c.name: c for c in own.search("wave").collections}
    assert {name: c.coverage for name, c in of_all.items()} == {
        "builtin": 1.0,
        "changed": 0.0,
        "tiny": 1.0,
    }
    assert "put the old files back" in of_all["changed"].problem
    write_model(model, dtype=np.float16)
    assert own.search("wave", collections=["changed"]).coverage == 1.0
    own.delete("changed")


async def test_nothing_is_loaded_until_it_is_needed(own, top, tmp_path):
    restart(own)
    async with sdk_host(environment(tmp_path, SHOAL_ROOT=own.settings.root)) as host:
        assert (await host.list_tools()).tools
        listed_to_host = await host.call_tool("list_collections", {})
        assert len(listed_to_host.structured_content["collections"]) == 2
        assert not (await host.call_tool("cluster_status", {})).is_error
        assert len(own.models()) >= 2
        own.search("parse", mode="lexical")
        assert embedders(own) == {}
        assert mapped_models(own) == set()
    own.search("parse")
    assert set(embedders(own)) == {"static:builtin", tiny_name(top)}
    assert {"model.safetensors"} < mapped_models(own)


def mapped_models(shoal):
    """Return what models are made of, as far as the gateway and its descendants hold it."""
    gateway = daemon.find(shoal.settings).process
    family = (gateway, *gateway.children(recursive=True))
    maps = [line for process in family for line in process.memory_maps()]
    parts = ("libonnxruntime", "onnxruntime_pybind", *WEIGHTS)
    return {Path(mapped.path).name for mapped in maps if any(p in mapped.path for p in parts)}


def test_models_are_listed_with_their_users_states_and_needs(own, top):
    own.search("parse")
    done = run(own, "models", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    by_name = {model["name"]: model for model in json.loads(done.stdout)}
    assert next(iter(by_name)) == "static:builtin"
    tiny = by_name[tiny_name(top)]
    card = describe(str(top / "tiny"))
    assert tiny["fingerprint"] == str(card.fingerprint)
    assert tiny["footprint_bytes"] == card.footprint.total
    assert tiny["collections"] == ["tiny"]
    (replica,) = tiny["replicas"]
    assert replica["state"] == "ready"
    assert 0 < replica["pss_bytes"] < replica["limit_bytes"]
    said = run(own, "models").stdout
    assert all(name in said for name in by_name)
    assert "ready" in said


def test_a_model_whose_files_are_gone_is_listed_with_its_problem(own, top):
    model = write_model(top / "going")
    own.wait(own.index([top / "docs"], collection="gone", model=str(model)))
    model.rename(top / "gone")
    found = listed(own, f"onnx:{model / 'model.onnx'}")
    assert found.collections == ("gone",)
    assert str(model) in found.problem
    own.delete("gone")


def test_a_load_is_told_to_those_who_list_models_and_to_the_job_that_waits(own, top):
    (top / "load-wait").touch()
    model = f"lying:{top / 'load-wait'}"
    job = own.index([top / "docs"], collection="waiting", model=model)
    phase = f"loading {model}: waiting for the test (50%)"
    until(lambda: own.job(job.id).phase == phase)
    (loading,) = listed(own, model).replicas
    assert (loading.state, loading.phase) == ("loading", "waiting for the test")
    assert (loading.fraction, loading.done_bytes) == (0.5, 1)
    assert "waiting for the test" in run(own, "models").stdout
    (top / "proceed").touch()
    assert own.wait(job).state == "done"
    assert listed(own, model).replicas[0].state == "ready"
    own.delete("waiting")


def test_a_downloaded_model_that_nobody_uses_is_listed_unread(tmp_path, monkeypatch):
    chat = write_model(tmp_path / "chat")
    downloaded = ("static:builtin", str(chat), "someone/incomplete")
    monkeypatch.setattr(models, "cached_models", lambda: downloaded)
    read = []
    monkeypatch.setattr(files, "_file_digest", lambda path, *_: read.append(path) or b"")
    catalog = Catalog(Storage(str(tmp_path / "root")))
    used, unused, incomplete = models.models(catalog, "static:builtin", (), ())
    assert not [path for path in read if path.is_relative_to(chat)]
    assert used.fingerprint == str(describe("static:builtin").fingerprint)
    size = sum(file.stat().st_size for file in chat.iterdir())
    assert unused == Model(name=str(chat), path=str(chat), size_bytes=size)
    assert "cannot download someone/incomplete" in incomplete.problem


class TestQuantize:
    def test_writes_a_smaller_model_beside_and_tells_how_alike_it_is(self, tmp_path):
        model = write_model(tmp_path / "float")
        done = run_shoal("models", "quantize", str(model), "--json")
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert report["source"] == str(model / "model.onnx")
        assert report["target"] == str(model / "model_quantized.onnx")
        assert report["target_bytes"] == (model / "model_quantized.onnx").stat().st_size
        assert 0.99 < report["cosine_min"] <= report["cosine_mean"] <= 1.0
        assert report["source_texts_per_s"] > 0
        assert describe(str(model)).fingerprint.dtype == "int8"
        said = run_shoal("models", "quantize", str(model / "model.onnx")).stdout
        assert f"mean {report['cosine_mean']:.4f}" in said
        assert report["target"] in said

    def test_refuses_what_is_quantised_already(self, tmp_path):
        model = write_model(tmp_path / "int8", dynamic=True)
        done = run_shoal("models", "quantize", str(model))
        assert done.returncode == 2
        assert "is quantised already; give the float model" in done.stderr
        assert not (model / "model_quantized.onnx").exists()

    @pytest.mark.parametrize("reference", ["static:builtin", "/no/such/folder", "a/repository"])
    def test_refuses_what_holds_no_onnx_file(self, reference):
        done = run_shoal("models", "quantize", reference)
        assert done.returncode == 2
        assert "holds no model.onnx to quantise; name a folder" in done.stderr
        assert done.stdout == ""
