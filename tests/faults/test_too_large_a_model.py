"""A model that needs more than its limit is refused before it is loaded, and nothing else ends."""

import re

import pytest
from own_gateway import ENFORCEMENTS, capped_gateway
from shared_files import shared_file

from actors.engines.registry import describe
from actors.errors import MemoryLimitExceeded

LIMIT_MIB = 192
MODELS = {
    "onnx": "models/all-MiniLM-L6-v2-onnx/model_quantized.onnx",
    "gguf": "models/all-MiniLM-L6-v2.Q8_0.gguf",
}


@pytest.fixture(scope="module", params=ENFORCEMENTS)
def cluster(request, tmp_path_factory):
    """A gateway whose replicas may use no more than an idle one and the built-in model need."""
    environment = {"SHOAL_EMBEDDER_MEMORY": f"{LIMIT_MIB}MiB"}
    top = tmp_path_factory.mktemp(request.param)
    with capped_gateway(top, request.param, **environment) as shoal:
        yield shoal


def replica_of(shoal, model):
    return next(r for r in shoal.status().replicas if r.detail.get("model") == model)


@pytest.mark.parametrize("engine", MODELS)
def test_it_is_refused_with_figures_and_the_rest_goes_on(cluster, engine):
    model = f"{engine}:{shared_file(MODELS[engine])}"
    with pytest.raises(MemoryLimitExceeded) as refused:
        cluster.embed(["zebra"], model=model)
    said = rf"load .* needs (\d+) MiB, .* holds (\d+) MiB of its limit of {LIMIT_MIB} MiB"
    need, held = map(int, re.search(said, str(refused.value)).groups())
    assert need == round(describe(model).footprint.total / (1 << 20))
    assert 0 < held < LIMIT_MIB < need + held
    assert "raise SHOAL_EMBEDDER_MEMORY, or choose something smaller" in str(refused.value)

    replica = replica_of(cluster, model)
    assert (replica.refusals, replica.kills, replica.restarts) == (1, 0, 0)
    assert replica.detail["loads"] == 0
    with pytest.raises(MemoryLimitExceeded):
        cluster.embed(["zebra"], model=model)
    assert replica_of(cluster, model).pid == replica.pid

    answer = cluster.search("zebra", collections=["sound"])
    assert (answer.coverage, answer.hits[0].path) == (1.0, "sound.md")
    assert not [r for r in cluster.status().replicas if r.problem or r.kills or r.restarts]
