"""Cross-encoders in ONNX Runtime: what they score, what is no cross-encoder."""

import numpy as np
import pytest
import tiny_onnx_model
from tiny_cross_encoder import ARCHITECTURE, ONE_LABEL, shared, write_cross_encoder
from tiny_onnx_model import CONFIG, INPUTS, describe_folder, open_folder

from actors.engines import onnx as engine
from actors.engines.registry import check_task, describe, open_engine
from actors.errors import InvalidRequest, ModelLoadError

QUERY = "sea wave"
TEXTS = ["wave parse", "", "sea sea wave", "json", "wave"]


@pytest.mark.parametrize("dynamic", [False, True])
def test_each_text_is_scored_beside_the_query(tmp_path, dynamic):
    model = open_folder(write_cross_encoder(tmp_path, dynamic=dynamic))
    scores = model.score(QUERY, TEXTS)
    assert scores.dtype == np.float32
    assert scores.tolist() == [1, 0, 3, 0, 1]
    assert model.score(QUERY, []).shape == (0,)


def test_scores_come_back_in_the_order_of_their_texts_from_many_batches(tmp_path):
    model = open_folder(write_cross_encoder(tmp_path))
    texts = [" ".join(["sea"] * (i % 7) + ["json"] * (i % 5)) for i in range(3 * engine.WINDOW)]
    model.batch_tokens = 40
    assert model.score(QUERY, texts).tolist() == [shared(QUERY, text) for text in texts]


def test_batches_hold_pairs_of_like_lengths_and_no_more_tokens_than_allowed(tmp_path, monkeypatch):
    model = open_folder(write_cross_encoder(tmp_path))
    compute, batches = model._compute, []

    def noted(pairs):
        batches.append([len(ids) for ids, _ in pairs])
        return compute(pairs)

    monkeypatch.setattr(model, "_compute", noted)
    model.batch_tokens = 12
    model.score("sea", ["json"] * 4 + ["json " * 8] * 2 + ["json json"])
    assert sorted(batches) == [[3, 3], [4, 3, 3], [10], [10]]


def test_a_text_that_is_too_long_loses_its_end_and_the_query_none(tmp_path):
    model = open_folder(write_cross_encoder(tmp_path), "max_tokens=8")
    scores = model.score(QUERY, ["json json json json wave", "json json json json json wave"])
    assert scores.tolist() == [1, 0]
    assert model.score(QUERY, ["wave " * 1_000_000]).tolist() == [5]


def test_where_both_are_too_long_neither_takes_all(tmp_path):
    model = open_folder(write_cross_encoder(tmp_path), "max_tokens=9")
    assert model.score("sea " * 100, ["sea " * 100]).tolist() == [4 * 4]


def test_lone_surrogates_are_read_past(tmp_path):
    model = open_folder(write_cross_encoder(tmp_path))
    assert model.score("sea \ud800", ["sea", "\ud800 sea"]).tolist() == [1, 1]


def test_prefixes_are_those_that_the_spec_names(tmp_path):
    model = open_folder(write_cross_encoder(tmp_path), "query_prefix=json%20")
    assert model.score("sea", ["json", "sea json", "wave"]).tolist() == [1, 2, 0]


def test_a_graph_that_does_not_tell_the_texts_apart_gets_no_types(tmp_path):
    model = open_folder(write_cross_encoder(tmp_path, inputs=INPUTS[:2]))
    assert model.score("sea", ["", "wave", "wave wave"]).tolist() == [2, 3, 4]


def test_it_drops_caches_and_closes_like_any_other(tmp_path):
    model = open_folder(write_cross_encoder(tmp_path))
    model.drop_caches()
    assert model.score(QUERY, ["wave"]).tolist() == [1]
    model.close()
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.score(QUERY, ["wave"])


# What it is, by its files


def test_its_fingerprint_names_no_vector_space(tmp_path):
    card = describe_folder(write_cross_encoder(tmp_path))
    assert (card.fingerprint.task, card.fingerprint.dimension) == ("score", 1)
    assert str(card.fingerprint).endswith("/float32/score/1")
    embedding = describe_folder(tiny_onnx_model.write_model(tmp_path / "other"))
    assert embedding.fingerprint.task == "embed"


@pytest.mark.parametrize(
    "labels", [{}, {"num_labels": 3}, {"id2label": {"0": "a", "1": "b"}}], ids=str
)
def test_a_classifier_is_no_model_for_either(tmp_path, labels):
    write_cross_encoder(tmp_path, config={**CONFIG, **ARCHITECTURE, **labels})
    with pytest.raises(ModelLoadError, match=r"classifier of [23] labels"):
        describe_folder(tmp_path)


def test_a_graph_that_gives_more_than_one_score_is_refused(tmp_path):
    write_cross_encoder(tmp_path, labels=2)
    with pytest.raises(ModelLoadError, match=r"shape \(0, 2\), and is not one score"):
        describe_folder(tmp_path)


@pytest.mark.parametrize("option", ["pooling=mean", "dimension=2", "max_tokens=17"])
def test_options_that_a_cross_encoder_has_not_are_refused(tmp_path, option):
    write_cross_encoder(tmp_path, config=ONE_LABEL)
    with pytest.raises(InvalidRequest, match="asks for"):
        describe_folder(tmp_path, option)


def test_each_kind_of_model_is_refused_in_the_others_place(tmp_path):
    cross = str(write_cross_encoder(tmp_path / "cross"))
    with pytest.raises(InvalidRequest, match=r"cross is a cross-encoder.* as SHOAL_RERANKER"):
        describe(cross, task="embed")
    with pytest.raises(InvalidRequest, match="is a cross-encoder"):
        open_engine(describe(cross))
    with pytest.raises(InvalidRequest, match="static:builtin is an embedding model"):
        describe("static:builtin", task="score")
    check_task(cross, describe(cross, task="score").fingerprint, "score")
