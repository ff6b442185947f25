"""`/v1/embeddings` with the official client of OpenAI's API, against a real gateway."""

import base64

import httpx2
import numpy as np
import openai
import pytest
from tokenizers import Tokenizer

from actors.engines.registry import locate
from cluster import daemon

TEXTS = ["where are retries limited?", "zebra crossings", "日本 zebra"]
MODEL = "static:builtin"


@pytest.fixture
def endpoint(gateway):
    return daemon.find(gateway).endpoint


@pytest.fixture
def client(endpoint):
    transport = httpx2.HTTPTransport(uds=endpoint.socket)
    with openai.OpenAI(
        api_key=endpoint.token,
        base_url="http://shoal/v1",
        http_client=httpx2.Client(transport=transport),
        max_retries=0,
    ) as client:
        yield client


@pytest.fixture
def expected(shoal):
    reply = shoal.embed(TEXTS)
    return np.frombuffer(base64.b64decode(reply.data), "<f4").reshape(-1, reply.dimension)


def vectors(answer):
    return np.array([row.embedding for row in answer.data], dtype=np.float32)


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_vectors_are_those_of_the_model_in_every_encoding(client, expected, encoding):
    chosen = {} if encoding is None else {"encoding_format": encoding}
    answer = client.embeddings.create(model=MODEL, input=TEXTS, **chosen)
    assert [row.index for row in answer.data] == [0, 1, 2]
    if encoding == "base64":
        rows = [np.frombuffer(base64.b64decode(row.embedding), "<f4") for row in answer.data]
        assert np.array_equal(np.array(rows), expected)
    else:
        assert np.array_equal(vectors(answer), expected)
    assert answer.model == MODEL


def test_one_text_is_as_good_as_a_list_of_one(client, expected):
    answer = client.embeddings.create(model="", input=TEXTS[0])
    assert np.array_equal(vectors(answer), expected[:1])
    assert answer.model == MODEL


def test_usage_counts_the_tokens_that_the_model_read(client, shoal):
    tokenizer = Tokenizer.from_file(str(locate(MODEL) / "tokenizer.json"))
    known = TEXTS[:2]  # of the third, the model has not all in its vocabulary
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in known)
    usage = client.embeddings.create(model=MODEL, input=known).usage
    assert usage.prompt_tokens == usage.total_tokens == tokens
    assert shoal.embed(known).tokens == tokens


def test_a_model_that_allows_it_gives_shorter_vectors_of_unit_length(client, expected):
    answer = client.embeddings.create(model=MODEL, input=TEXTS, dimensions=64)
    cut = expected[:, :64] / np.linalg.norm(expected[:, :64], axis=1, keepdims=True)
    assert np.allclose(vectors(answer), cut, atol=1e-6)


def test_more_dimensions_than_there_are_are_refused(client):
    with pytest.raises(openai.UnprocessableEntityError, match="320 dimensions") as refused:
        client.embeddings.create(model=MODEL, input="x", dimensions=1024)
    assert refused.value.param == "dimensions"


def test_an_unknown_model_is_refused_with_those_there_are(client):
    with pytest.raises(openai.NotFoundError, match=r"there are: .*static:builtin") as refused:
        client.embeddings.create(model="text-embedding-3-small", input="x")
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 2, 3], "token ids"),
        ([[1, 2], [3]], "token ids"),
        ("", "at least 1 character"),
        ([], "at least 1 item"),
        (["x"] * 2049, "at most 2048"),
        ("x" * 100_001, "at most 100000"),
        (["x", 5], "valid string"),
        (None, "valid"),
    ],
)
def test_input_that_is_no_text_is_refused_by_name(client, given, said):
    with pytest.raises(openai.UnprocessableEntityError, match=said) as refused:
        client.embeddings.create(model=MODEL, input=given)
    assert refused.value.param.startswith("input")
    assert refused.value.type == "invalid_request_error"


def test_a_wrong_key_is_told_as_openai_tells_it(client):
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="wrong").embeddings.create(model=MODEL, input="x")
    assert refused.value.code == "invalid_api_key"
    assert refused.value.request_id


def test_models_are_listed_as_openai_lists_them(client, shoal):
    listed = client.models.list().data
    assert MODEL in [model.id for model in listed]
    assert [model.id for model in listed] == [model.name for model in shoal.models()]
