"""The static engine: what it computes, from which folders, and how little it reads."""

import hashlib
import json
import mmap
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_static_model import (
    VOCABULARY,
    describe_folder,
    open_folder,
    table,
    word_tokenizer,
    write_model,
)

import actors.engines
from actors.engines.static import MOST_TOKENS, holds
from actors.errors import InvalidRequest, ModelLoadError

BUILTIN = Path(actors.engines.__file__).parent / "builtin"
TEXTS = [
    "how to parse json",
    "def load(path):\n\treturn json.load(open(path))",
    "",
    "日本",
    "a — b",
]


@pytest.fixture(scope="module")
def builtin():
    return open_folder(BUILTIN)


def fingerprint(folder):
    return describe_folder(folder).fingerprint


def ids(*tokens):
    return [VOCABULARY.index(token) for token in tokens]


def unit(vector):
    return vector / np.linalg.norm(vector)


# The built-in model


def test_the_builtin_model_fits_in_eight_million_bytes():
    assert sum(path.stat().st_size for path in BUILTIN.rglob("*")) <= 8_000_000


def test_the_builtin_model_card_names_the_weights_it_came_with():
    weights = hashlib.sha256((BUILTIN / "model.safetensors").read_bytes()).hexdigest()
    assert weights in (BUILTIN / "README.md").read_text(encoding="utf-8")


def test_the_builtin_model_has_320_dimensions(builtin):
    vectors = builtin.embed(TEXTS, "document")
    assert builtin.dimension == 320
    assert vectors.shape == (len(TEXTS), 320)
    assert vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("query", "related", "unrelated"),
    [
        ("parse a json file", "def read_json(path): return json.loads(path)", "class Window: pass"),
        ("open a network connection", "socket.connect((host, port))", "def matrix_rank(a): ..."),
        ("weather at sea", "The waves were high and the wind strong.", "Taxes are due in April."),
    ],
)
def test_related_texts_are_closer_than_unrelated_ones(builtin, query, related, unrelated):
    asked = builtin.embed([query], "query")[0]
    near, far = builtin.embed([related, unrelated], "document") @ asked
    assert near > far + 0.1


def test_rows_have_length_one_and_texts_without_known_tokens_are_zero(builtin):
    norms = np.linalg.norm(builtin.embed(TEXTS, "document"), axis=1)
    np.testing.assert_allclose(norms, [1, 1, 0, 0, 1], atol=1e-6)


def test_a_batch_gives_the_vectors_that_its_texts_give_alone(builtin):
    texts = TEXTS * 200
    alone = np.concatenate([builtin.embed([text], "document") for text in texts])
    np.testing.assert_array_equal(builtin.embed(texts, "document"), alone)


def test_an_empty_batch_gives_no_rows(builtin):
    assert builtin.embed([], "query").shape == (0, 320)


def test_queries_and_documents_are_embedded_alike(builtin):
    np.testing.assert_array_equal(builtin.embed(TEXTS, "query"), builtin.embed(TEXTS, "document"))


def test_threads_get_the_vectors_that_one_caller_gets(builtin):
    expected = builtin.embed(TEXTS, "document")
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: builtin.embed(TEXTS, "document"), range(40)):
            np.testing.assert_array_equal(vectors, expected)


# What is computed


def test_a_vector_is_the_normalised_mean_of_its_tokens_rows(tmp_path):
    engine = open_folder(write_model(tmp_path))
    expected = unit(table("float32")[ids("parse", "json", "##s")].mean(axis=0))
    np.testing.assert_allclose(engine.embed(["Parse JSONs"], "query")[0], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32", "float64"])
def test_every_dtype_of_the_format_gives_float32(tmp_path, dtype):
    engine = open_folder(write_model(tmp_path, {"embeddings": table(dtype)}))
    vectors = engine.embed(["sea wave"], "query")
    assert vectors.dtype == np.float32
    expected = unit(table("float64")[ids("sea", "wave")].mean(axis=0))
    np.testing.assert_allclose(vectors[0], expected, atol=1e-6)


def test_token_weights_count(tmp_path):
    weights = np.linspace(0.1, 2.0, len(VOCABULARY))
    engine = open_folder(write_model(tmp_path, {"embeddings": table(), "weights": weights}))
    chosen = ids("sea", "wave")
    expected = unit(weights[chosen] @ table("float64")[chosen])
    np.testing.assert_allclose(engine.embed(["sea wave"], "query")[0], expected, atol=1e-6)


def test_a_token_counts_by_the_power_of_its_repeats_that_the_config_names(tmp_path):
    engine = open_folder(write_model(tmp_path, repeats=0.5))
    expected = unit(np.array([2, 1]) @ table("float64")[ids("sea", "wave")])
    found = engine.embed(["sea wave sea sea sea"], "query")[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_repeats_weights_and_a_mapping_count_together(tmp_path):
    weights, mapping = np.linspace(0.1, 2.0, len(VOCABULARY)), np.arange(len(VOCABULARY)) % 3
    arrays = {"embeddings": table()[:3], "weights": weights, "mapping": mapping}
    engine = open_folder(write_model(tmp_path, arrays, repeats=0))
    chosen = ids("sea", "wave")
    expected = unit(weights[chosen] @ table("float64")[mapping[chosen]])
    found = engine.embed(["sea wave wave"], "document")[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_repeats_of_one_are_the_mean_of_model2vec(tmp_path):
    plain = open_folder(write_model(tmp_path / "plain"))
    whole = open_folder(write_model(tmp_path / "whole", repeats=1))
    texts = ["sea sea wave", "parse json"]
    np.testing.assert_array_equal(plain.embed(texts, "query"), whole.embed(texts, "query"))


def test_tokens_may_share_rows_through_a_mapping(tmp_path):
    mapping = np.arange(len(VOCABULARY)) % 3
    arrays = {"embeddings": table()[:3], "mapping": mapping}
    engine = open_folder(write_model(tmp_path, arrays))
    expected = unit(table("float32")[mapping[ids("sea", "wave")]].mean(axis=0))
    np.testing.assert_allclose(engine.embed(["sea wave"], "query")[0], expected, atol=1e-6)


def test_rows_have_length_one_even_where_the_config_asks_otherwise(tmp_path):
    engine = open_folder(write_model(tmp_path, normalize=False))
    assert np.linalg.norm(engine.embed(["sea wave"], "query")) == pytest.approx(1, abs=1e-6)


def test_tokens_beyond_max_length_are_not_read(tmp_path):
    engine = open_folder(write_model(tmp_path, max_length=2))
    short, long = engine.embed(["sea sea", "sea sea e"], "query")
    np.testing.assert_array_equal(short, long)


def test_it_counts_the_tokens_that_it_reads(tmp_path):
    engine = open_folder(write_model(tmp_path, max_length=3), "query_prefix=sea%20")
    counts = np.full(3, -1, np.int32)
    engine.embed(["wave", "", "e e e"], "query", counts)
    assert counts.tolist() == [2, 1, 3]


def test_a_model_without_limit_is_read_to_ours(tmp_path):
    engine = open_folder(write_model(tmp_path, max_length=None))
    first, longer = "sea " * MOST_TOKENS, "sea " * MOST_TOKENS + "wave " * 9
    np.testing.assert_array_equal(*engine.embed([first, longer], "document"))


def test_tokenizers_of_other_kinds_work(tmp_path):
    engine = open_folder(write_model(tmp_path, tokenizer=word_tokenizer()))
    expected = unit(table("float32")[ids("sea", "wave")].mean(axis=0))
    texts = ["sea nothing wave"] * 600
    np.testing.assert_allclose(engine.embed(texts, "document")[-1], expected, atol=1e-6)


def test_prefixes_of_the_spec_come_before_the_text(tmp_path):
    engine = open_folder(write_model(tmp_path), "query_prefix=sea%20&document_prefix=")
    expected = unit(table("float32")[ids("sea", "wave")].mean(axis=0))
    np.testing.assert_allclose(engine.embed(["wave"], "query")[0], expected, atol=1e-6)
    alone = unit(table("float32")[VOCABULARY.index("wave")])
    np.testing.assert_allclose(engine.embed(["wave"], "document")[0], alone, atol=1e-6)


def test_the_spec_keeps_the_first_numbers_of_each_vector(tmp_path):
    engine = open_folder(write_model(tmp_path), "dimension=3")
    expected = unit(table("float32")[VOCABULARY.index("sea")][:3])
    np.testing.assert_allclose(engine.embed(["sea"], "query")[0], expected, atol=1e-6)
    assert engine.dimension == 3


def test_the_spec_limits_the_tokens_read(tmp_path):
    engine = open_folder(write_model(tmp_path), "max_tokens=2")
    np.testing.assert_array_equal(*engine.embed(["sea sea", "sea sea e"], "query"))


@pytest.mark.parametrize("option", ["dimension=9", "pooling=cls"])
def test_what_the_model_cannot_do_is_refused(tmp_path, option):
    with pytest.raises(InvalidRequest, match=option.partition("=")[2]):
        describe_folder(write_model(tmp_path), option)


# How little is read


def test_the_table_stays_in_its_file():
    vectors = open_folder(BUILTIN)._table.vectors
    assert vectors.dtype == np.int8
    owner = vectors
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)


def test_opening_and_embedding_takes_a_fraction_of_the_table_as_floats():
    tracemalloc.start()
    try:
        open_folder(BUILTIN).embed(TEXTS * 100, "document")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 23_000 * 320 * 4 / 3


def test_a_closed_engine_refuses_to_embed_and_closes_again(tmp_path):
    engine = open_folder(write_model(tmp_path))
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.embed(["sea"], "query")


# The vector space's name


def test_the_builtin_vector_space_is_the_one_that_collections_were_made_in():
    assert str(fingerprint(BUILTIN)) == "static/53af4fe471b5f684/int8/mean/320"


def test_only_folders_that_model2vec_saved_are_held(tmp_path):
    assert holds(write_model(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(header(other={}))
    assert not holds(tmp_path)
    assert not holds(tmp_path / "nowhere")


def test_the_fingerprint_names_the_space_in_one_line():
    name = fingerprint(BUILTIN)
    assert (name.engine, name.dtype, name.pooling, name.dimension) == (
        "static",
        "int8",
        "mean",
        320,
    )
    assert str(name) == f"static/{name.weights}/int8/mean/320"
    assert len(name.weights) == 16


def test_the_same_files_elsewhere_have_the_same_fingerprint(tmp_path):
    assert fingerprint(write_model(tmp_path / "a")) == fingerprint(write_model(tmp_path / "b"))


@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_change_in_any_file_changes_the_fingerprint(tmp_path, changed):
    before = fingerprint(write_model(tmp_path))
    with (tmp_path / changed).open("ab") as file:
        file.write(b" ")
    assert fingerprint(tmp_path) != before


# Folders that cannot be loaded


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("use", [open_folder, fingerprint])
def test_a_missing_file_is_named_with_its_folder(tmp_path, missing, use):
    (write_model(tmp_path) / missing).unlink()
    with pytest.raises(ModelLoadError) as raised:
        use(tmp_path)
    assert f"{tmp_path}: it lacks {missing}" in str(raised.value)
    assert "give a folder that model2vec saved" in str(raised.value)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match=r"lacks model\.safetensors, tokenizer\.json, config"):
        open_folder(tmp_path / "nowhere")


def header(**entries):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


def test_identifiers_are_split_where_the_config_says_that_the_model_was_trained_so(tmp_path):
    plain, splitting = (
        open_folder(write_model(tmp_path / name, **config))
        for name, config in (("plain", {}), ("splitting", {"split_identifiers": True}))
    )
    asked, words = ["parseJson(sea_wave)"], ["parse json(sea wave)"]
    np.testing.assert_array_equal(
        splitting.embed(asked, "query"), plain.embed([words[0].removesuffix(")")], "query")
    )
    assert not np.array_equal(plain.embed(asked, "query"), plain.embed(words, "query"))


def test_the_ways_of_reading_and_of_counting_are_part_of_the_vector_space(tmp_path):
    configs = ({}, {"split_identifiers": True}, {"repeats": 0.5}, {"repeats": 0.25})
    spaces = {
        str(fingerprint(write_model(tmp_path / str(number), **config)))
        for number, config in enumerate(configs)
    }
    assert len(spaces) == len(configs)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"[1]"),
        ("config.json", b"\xff"),
        ("config.json", b'{"max_length": "many"}'),
        ("config.json", b'{"max_length": 0}'),
        ("config.json", b'{"repeats": "half"}'),
        ("config.json", b'{"repeats": 2}'),
        ("tokenizer.json", b"{}"),
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 64),
        ("model.safetensors", header()),
        ("model.safetensors", header(embeddings=1)),
        ("model.safetensors", header(embeddings={"dtype": "I8", "shape": [10]})),
        (
            "model.safetensors",
            header(embeddings={"dtype": "BF16", "shape": [10, 8], "data_offsets": [0, 160]}),
        ),
        (
            "model.safetensors",
            header(embeddings={"dtype": "I8", "shape": [10, 8], "data_offsets": [0, 80]}),
        ),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content):
    (write_model(tmp_path) / name).write_bytes(content)
    with pytest.raises(ModelLoadError, match=rf"{tmp_path}: {name}"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"embeddings": table()[:-1]},
        {"embeddings": table(), "weights": np.ones(3)},
        {"embeddings": table(), "mapping": np.zeros(3, dtype=np.int64)},
        {"embeddings": table(), "mapping": np.full(len(VOCABULARY), 10)},
    ],
)
def test_a_table_too_small_for_its_tokenizer_is_refused(tmp_path, arrays):
    with pytest.raises(ModelLoadError, match="fewer rows"):
        open_folder(write_model(tmp_path, arrays))
