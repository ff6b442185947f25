"""`--rerank` end to end: a tiny cross-encoder that counts the words that query and hit share."""

import json

import pytest
from command import run_shoal
from own_gateway import own_gateway
from pydantic import ValidationError
from tiny_cross_encoder import write_cross_encoder

from actors.errors import InvalidRequest
from cluster.protocol import SearchBody, Vector
from cluster.roots import Roots
from cluster.service import Service
from cluster.settings import Settings

FILES = {
    "short.md": "wave\n",
    "long.md": "wave wave wave\n" + 20 * "json json json json json\n",
    "other.md": "sea\n",
}


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    made = tmp_path_factory.mktemp("rerank")
    (made / "docs").mkdir()
    for name, text in FILES.items():
        (made / "docs" / name).write_text(text)
    write_cross_encoder(made / "cross")
    return made


@pytest.fixture(scope="module")
def own(top):
    with own_gateway(top / "root", SHOAL_RERANKER=f"onnx:{top / 'cross'}") as shoal:
        shoal.wait(shoal.index([top / "docs"], collection="docs"))
        yield shoal


def run(shoal, *options):
    return run_shoal("search", "wave", "--mode", "lexical", *options, "--root", shoal.settings.root)


def found(answer):
    return [hit.path for hit in answer.hits]


def scorers(shoal):
    return [model for model in shoal.models() if model.fingerprint.endswith("/score/1")]


def test_hits_come_as_they_are_while_the_reranker_cannot_be_had(own, top):
    assert scorers(own) == []
    (top / "cross" / "model.onnx").rename(top / "away")
    try:
        done = run(own, "--rerank")
    finally:
        (top / "away").rename(top / "cross" / "model.onnx")
    assert done.returncode == 0
    assert done.stdout.index("short.md") < done.stdout.index("long.md")
    assert "not reranked: " in done.stderr
    assert str(top / "cross") in done.stderr


def test_the_best_hits_are_ordered_by_the_cross_encoder(own):
    assert found(own.search("wave", mode="lexical")) == ["short.md", "long.md"]
    done = run(own, "--rerank", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    hits = [(hit["path"], hit["score"]) for hit in answer["hits"]]
    assert hits == [("long.md", 3.0), ("short.md", 1.0)]
    assert answer["rerank_problem"] == ""
    assert 0 < answer["timings_ms"]["rerank"] <= answer["timings_ms"]["router"]


def test_an_explanation_tells_the_reranker_first(own):
    (first, *_) = own.search("wave", rerank=True, explain=True).hits
    assert (first.path, first.why.rerank, first.score) == ("long.md", 3.0, 3.0)
    said = run(own, "--rerank", "--explain").stdout
    assert "reranker: 3.00; words: rank 2 (BM25" in said


def test_pages_and_lines_around_hits_are_those_of_the_new_order(own):
    second = own.search("wave", mode="lexical", rerank=True, limit=1, offset=1, context=1)
    assert (found(second), second.more) == (["short.md"], False)
    assert own.search("wave", rerank=True, limit=1).hits[0].path == "long.md"


def test_its_replica_is_one_of_its_own_and_listed_with_its_state(own):
    own.search("wave", rerank=True)
    (model,) = scorers(own)
    (replica,) = model.replicas
    assert (replica.state, model.collections) == ("ready", ())
    assert 0 < replica.pss_bytes < replica.limit_bytes


def test_a_cross_encoder_embeds_nothing(own, top):
    model = f"onnx:{top / 'cross'}"
    with pytest.raises(InvalidRequest, match="is a cross-encoder"):
        own.embed(["wave"], model=model)
    with pytest.raises(InvalidRequest, match="is a cross-encoder"):
        own.wait(own.index([top / "docs"], collection="none", model=model))


async def test_a_gateway_without_one_says_what_to_set(tmp_path):
    service = Service(Settings(root=str(tmp_path), reranker=""), Roots())
    with pytest.raises(InvalidRequest, match="set SHOAL_RERANKER to a cross-encoder"):
        await service.search(SearchBody(query="wave", rerank=True))


async def test_an_embedding_model_is_no_reranker_and_the_gateway_does_not_start_with_it(tmp_path):
    service = Service(Settings(root=str(tmp_path), reranker="static:builtin"), Roots())
    with pytest.raises(InvalidRequest, match="static:builtin is an embedding model"):
        await service.start()


def test_reranking_needs_the_text_of_the_query():
    with pytest.raises(ValidationError, match="needs the query's text"):
        SearchBody(vector=Vector.of([1.0]), mode="semantic", rerank=True)
