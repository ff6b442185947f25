"""What a model expects: the spec wins, then its own files, then the table of families."""

import json

import pytest

from actors.engines.conventions import DEFAULT_TOKENS, FAMILIES, family_of, kept_dimension, settle
from actors.engines.spec import parse
from actors.errors import InvalidRequest, ModelLoadError

REPRESENT = "Represent this sentence for searching relevant passages: "
NOMIC = ("search_query: ", "search_document: ")


def written(folder, **files):
    for name, content in files.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def settled(folder, options="", **files):
    folder = written(folder, **files)
    return settle(parse(f"onnx:{folder}?{options}"), folder)


def prompts(**chosen):
    return {"config_sentence_transformers": {"prompts": chosen}}


def prefixes(found):
    return found.query_prefix, found.document_prefix


@pytest.mark.parametrize(
    ("name", "query", "document", "pooling"),
    [
        ("nomic-ai/nomic-embed-text-v1.5", *NOMIC, "mean"),
        ("nomic-embed-text-v2-moe.Q8_0.gguf", *NOMIC, "mean"),
        ("nomic_bert", *NOMIC, "mean"),
        ("nomic-bert-moe", *NOMIC, "mean"),
        ("intfloat/e5-small-v2", "query: ", "passage: ", "mean"),
        ("multilingual-e5-base-q8_0.gguf", "query: ", "passage: ", "mean"),
        ("BAAI/bge-small-en-v1.5", REPRESENT, "", "cls"),
        ("BAAI/bge-m3", "", "", "cls"),
        ("Snowflake/snowflake-arctic-embed-m-v2.0", "query: ", "", "cls"),
        ("Snowflake/snowflake-arctic-embed-m-v1.5", REPRESENT, "", "cls"),
        ("Snowflake/snowflake-arctic-embed-xs", REPRESENT, "", "cls"),
        ("mixedbread-ai/mxbai-embed-large-v1", REPRESENT, "", "cls"),
        ("thenlper/gte-base", "", "", "mean"),
        ("Alibaba-NLP/gte-base-en-v1.5", "", "", "cls"),
        ("sentence-transformers/all-MiniLM-L6-v2", "", "", "mean"),
        ("stage5-small", "", "", "mean"),
    ],
)
def test_known_families_are_told_by_their_names(name, query, document, pooling):
    found = family_of(name)
    assert (found.query, found.document, found.pooling) == (query, document, pooling)


def test_each_family_is_found_before_those_that_it_would_also_fit():
    assert family_of("intfloat/multilingual-e5-large-instruct").query.startswith("Instruct: ")
    assert family_of("intfloat/e5-mistral-7b-instruct").pooling == "last"
    assert family_of("CodeRankEmbed", "nomic_bert").query.endswith("relevant code: ")
    assert all(family.names for family in FAMILIES)


def test_a_name_says_more_than_an_architecture(tmp_path):
    folder = tmp_path / "snowflake-arctic-embed-m-long"
    assert prefixes(settled(folder, config={"model_type": "nomic_bert"})) == (REPRESENT, "")
    found = settled(tmp_path / "unnamed", config={"model_type": "nomic_bert"})
    assert prefixes(found) == NOMIC


def test_folders_above_the_model_say_nothing(tmp_path):
    assert prefixes(settled(tmp_path / "e5-small" / "mine", config={})) == ("", "")


def test_the_models_own_prompts_win_over_the_table(tmp_path):
    folder = tmp_path / "e5-small"
    assert prefixes(settled(folder, **prompts(query="Q ", passage="P "))) == ("Q ", "P ")
    assert prefixes(settled(folder, **prompts(query="Q "))) == ("Q ", "")


def test_empty_prompts_say_nothing(tmp_path):
    found = settled(tmp_path / "e5-small", **prompts(query="", document=""))
    assert prefixes(found) == ("query: ", "passage: ")


def test_the_specs_prefixes_win_even_where_they_are_empty(tmp_path):
    folder = tmp_path / "e5-small"
    found = settled(folder, "query_prefix=&document_prefix=D%20", **prompts(query="Q "))
    assert prefixes(found) == ("", "D ")


@pytest.mark.parametrize(
    ("files", "pooling"),
    [
        ({}, "mean"),
        ({"1_Pooling/config": {"pooling_mode_cls_token": True}}, "cls"),
        ({"1_Pooling/config": {"pooling_mode_lasttoken": True}}, "last"),
        ({"1_Pooling/config": {"pooling_mode_mean_sqrt_len_tokens": True}}, "mean"),
        ({"1_Pooling/config": {"pooling_mode": "lasttoken"}}, "last"),
        (
            {
                "modules": [{"type": "sentence_transformers.models.Pooling", "path": "pool"}],
                "pool/config": {"pooling_mode_cls_token": True},
            },
            "cls",
        ),
    ],
)
def test_pooling_is_the_models_own(tmp_path, files, pooling):
    assert settled(tmp_path, **files).pooling == pooling


@pytest.mark.parametrize("modes", [{"max_tokens": True}, {"cls_token": True, "mean_tokens": True}])
def test_a_pooling_that_is_not_offered_is_refused_unless_the_spec_names_one(tmp_path, modes):
    config = {f"pooling_mode_{name}": on for name, on in modes.items()}
    with pytest.raises(ModelLoadError, match=r"\?pooling="):
        settled(tmp_path, **{"1_Pooling/config": config})
    assert settled(tmp_path, "pooling=cls").pooling == "cls"


@pytest.mark.parametrize(
    ("files", "tokens"),
    [
        ({}, DEFAULT_TOKENS),
        ({"sentence_bert_config": {"max_seq_length": 256}}, 256),
        ({"sentence_bert_config": {"max_seq_length": None}}, DEFAULT_TOKENS),
        ({"tokenizer_config": {"model_max_length": 10**30}}, DEFAULT_TOKENS),
        ({"config": {"max_position_embeddings": 2048}}, 2048),
        ({"config": {"n_positions": 8192}, "tokenizer_config": {"model_max_length": 1024}}, 1024),
        ({"config": {"max_position_embeddings": 514, "model_type": "xlm-roberta"}}, 512),
        (
            {
                "sentence_bert_config": {"max_seq_length": 256},
                "config": {"max_position_embeddings": 128},
            },
            128,
        ),
    ],
)
def test_the_length_is_the_smallest_that_a_file_says(tmp_path, files, tokens):
    assert settled(tmp_path, **files).max_tokens == tokens


def test_the_spec_may_read_more_than_the_default_and_not_more_than_the_positions(tmp_path):
    files = {
        "sentence_bert_config": {"max_seq_length": 256},
        "config": {"max_position_embeddings": 512},
    }
    assert settled(tmp_path, "max_tokens=512", **files).max_tokens == 512
    with pytest.raises(InvalidRequest, match="512 positions"):
        settled(tmp_path, "max_tokens=513")


def test_layers_after_the_pooling_are_told(tmp_path):
    assert not settled(tmp_path).projected
    dense = {"type": "sentence_transformers.models.Dense", "path": "2_Dense"}
    assert settled(tmp_path, modules=[dense]).projected


def test_a_dimension_may_be_less_than_the_models_and_not_more():
    assert kept_dimension(parse("org/model"), 8) == 8
    assert kept_dimension(parse("org/model?dimension=8"), 8) == 8
    assert kept_dimension(parse("org/model?dimension=3"), 8) == 3
    with pytest.raises(InvalidRequest, match="asks for 9 dimensions and the model has 8"):
        kept_dimension(parse("org/model?dimension=9"), 8)
