"""Which models' vectors may be cut short."""

import json
from pathlib import Path

import pytest

from actors.engines.base import Fingerprint, Footprint, ModelCard
from actors.engines.nested import check_cut
from actors.engines.registry import describe
from actors.engines.spec import ModelSpec
from actors.errors import InvalidRequest


def card(engine="onnx", reference="somebody/model", path=Path("nowhere"), dimension=768):
    space = Fingerprint(engine, "0" * 16, "int8", "mean", "", "", dimension)
    return ModelCard(ModelSpec(engine, reference), path, space, 512, Footprint(0, 0))


def test_the_built_in_model_may_be_cut():
    check_cut(describe("static:builtin"), 64)


@pytest.mark.parametrize(
    "reference",
    [
        "nomic-ai/nomic-embed-text-v1.5",
        "mixedbread-ai/mxbai-embed-large-v1",
        "Snowflake/snowflake-arctic-embed-m-v2.0",
        "Qwen/Qwen3-Embedding-0.6B",
        "google/embeddinggemma-300m",
    ],
)
def test_families_that_were_trained_for_it_may_be_cut(reference):
    check_cut(card(reference=reference), 256)


def test_a_files_name_tells_the_family_too():
    check_cut(card("gguf", "/models/x", Path("/models/nomic-embed-text-v1.5.Q8_0.gguf")), 256)


@pytest.mark.parametrize(
    "reference",
    [
        "sentence-transformers/all-MiniLM-L6-v2",
        "nomic-ai/nomic-embed-text-v1",
        "Snowflake/snowflake-arctic-embed-m",
        "intfloat/e5-base-v2",
    ],
)
def test_others_are_refused_with_the_way_out(reference):
    with pytest.raises(InvalidRequest, match="leave `dimensions` out"):
        check_cut(card(reference=reference), 256)


def test_all_that_a_model_has_may_be_asked_of_any():
    check_cut(card(), 768)


def test_more_than_a_model_has_is_refused():
    with pytest.raises(InvalidRequest, match="has 768 dimensions"):
        check_cut(card(reference="nomic-ai/nomic-embed-text-v1.5"), 769)


def test_a_config_that_names_sizes_allows_these_alone(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"matryoshka_dimensions": [512, 256]}))
    check_cut(card(path=tmp_path), 256)
    with pytest.raises(InvalidRequest, match="vectors of 256, 512 dimensions"):
        check_cut(card(path=tmp_path), 300)
