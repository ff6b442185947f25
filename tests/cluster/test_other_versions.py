"""What a gateway of another version answers."""

import json

import pytest

from actors.errors import GatewayUnavailable, NotFound
from cluster.client import ShoalClient
from cluster.operation import reply_of


def dumps(told):
    return json.dumps(told).encode()


@pytest.fixture
def call():
    shoal, calls = ShoalClient("http://nowhere", token="t"), []
    shoal.send = calls.append
    shoal.search("frogs")
    return calls[0]


ANSWER = {"hits": [], "coverage": 1.0, "collections": [], "timings_ms": {}}


def test_what_a_newer_one_tells_beside_is_passed_over(call):
    newer = ANSWER | {"weather": "fair"}
    assert reply_of(call, 200, dumps(newer)) == reply_of(call, 200, dumps(ANSWER))
    problem = {"error": "NotFound", "message": "no such collection", "weather": "foul"}
    with pytest.raises(NotFound, match="no such collection"):
        reply_of(call, 404, dumps(problem))


def test_what_cannot_be_read_is_told_with_the_way_out(call):
    older = {name: told for name, told in ANSWER.items() if name != "hits"}
    with pytest.raises(GatewayUnavailable, match=r"hits: .*be of the same version"):
        reply_of(call, 200, dumps(older))
