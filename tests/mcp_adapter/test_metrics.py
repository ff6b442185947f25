"""The cluster's figures as Prometheus reads them from a real gateway."""

import json
import os
import re
import signal
from pathlib import Path

import httpx2
import pytest
from own_gateway import LIAR, own_gateway
from prometheus_client.parser import text_string_to_metric_families
from tiny_onnx_model import CONFIG, write_model
from waiting import until

from actors.errors import MemoryLimitExceeded, NotFound
from cluster import daemon

DOCS = Path(__file__).resolve().parents[2] / "docs" / "observability"
LIMIT = 400 << 20
DASHBOARD = json.loads((DOCS / "grafana.json").read_text())
TABLE = (DOCS / "README.md").read_text()
STAGES = ("queue", "plan", "embed", "shards", "slowest_host", "merge", "router")
OF_ACTORS = {"up", "pss_bytes", "peak_bytes", "limit_bytes", "pressure"}
OF_ACTORS |= {"refusals", "kills", "restarts"}
OF_MODELS = {"loads", "unloads", "load_seconds", "texts", "loaded"}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A gateway whose replicas may use 400 MiB each and unload at once."""
    top = tmp_path_factory.mktemp("metrics")
    (top / "sound.md").write_text("# Zebra crossing\n")
    limits = {"SHOAL_EMBEDDER_MEMORY": str(LIMIT), "SHOAL_KEEP_ALIVE_S": "0"}
    with own_gateway(top / "root", PYTHONPATH=str(LIAR), **limits) as shoal:
        shoal.wait(shoal.index([top / "sound.md"], collection="sound"))
        yield shoal


def scrape(shoal, token=None):
    endpoint = daemon.find(shoal.settings).endpoint
    headers = {"Authorization": f"Bearer {token}"} if token else endpoint.headers
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=endpoint.socket)) as http:
        return http.get(f"{endpoint.url}/metrics", headers=headers)


def metrics(shoal):
    """Return the values of each family by actor; those of the whole cluster by ""."""
    families = text_string_to_metric_families(scrape(shoal).text)
    return {
        family.name: {sample.labels.get("actor", ""): sample.value for sample in family.samples}
        for family in families
    }


def samples(shoal, family, **labels):
    """Return a family's samples with some labels: by name, and by `le` where they have it."""
    families = {f.name: f for f in text_string_to_metric_families(scrape(shoal).text)}
    return {
        (sample.name.removeprefix(f"shoal_{family}"), sample.labels.get("le", "")): sample.value
        for sample in families[f"shoal_{family}"].samples
        if labels.items() <= sample.labels.items()
    }


def of(shoal, model):
    """Return all values of a model's replica, by family."""
    name = next(r.name for r in shoal.status().replicas if r.detail.get("model") == model)
    values = metrics(shoal)
    return {
        family.removeprefix("shoal_actor_"): values[family][name]
        for family in values
        if name in values[family]
    }


def test_they_take_the_gateways_token(own):
    assert scrape(own, token="wrong").status_code == 401
    answer = scrape(own)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


def test_every_actor_has_its_memory_and_every_model_its_loads(own):
    values = metrics(own)
    replicas = {r.name: r for r in own.status().replicas}
    for family in OF_ACTORS:
        assert set(values[f"shoal_actor_{family}"]) == set(replicas), family
    embedders = {name for name, r in replicas.items() if r.kind == "Embedder"}
    for family in OF_MODELS:
        assert set(values[f"shoal_actor_{family}"]) == embedders, family
    for name, replica in replicas.items():
        assert values["shoal_actor_up"][name] == 1
        assert values["shoal_actor_limit_bytes"][name] == replica.limit_bytes
        assert 0 < values["shoal_actor_pss_bytes"][name] < replica.limit_bytes
    assert values["shoal_nodes"] == {"": 1}
    assert values["shoal_memory_bytes"][""] > sum(values["shoal_actor_pss_bytes"].values()) / 2


def test_a_search_is_timed_by_stage_and_its_batches_are_counted(own):
    def stage(name):
        return samples(own, "search_stage_seconds", stage=name)

    before = {name: stage(name).get(("_count", ""), 0) for name in STAGES}
    answer = own.search("a question that nobody asked before", collections=["sound"])
    for name in STAGES:
        told = stage(name)
        assert told["_count", ""] == before[name] + 1, name
        buckets = [value for (part, _), value in told.items() if part == "_bucket"]
        assert buckets == sorted(buckets)
        assert told["_bucket", "+Inf"] == told["_count", ""]
    assert set(STAGES) == set(answer.timings_ms) - {"gateway"}
    to_hosts = samples(own, "router_batch_size", to="host")
    assert 0 < to_hosts["_count", ""] <= to_hosts["_sum", ""]


def test_a_query_that_is_asked_again_finds_its_vector(own):
    def counted(what):
        return samples(own, f"query_vector_cache_{what}")["_total", ""]

    before = counted("hits"), counted("misses")
    for _ in range(2):
        own.search("once more", collections=["sound"], mode="semantic")
    assert (counted("hits"), counted("misses")) == (before[0] + 1, before[1] + 1)


def test_open_segments_are_told_by_tier(own):
    own.search("zebra", collections=["sound"])
    assert sum(samples(own, "segments", tier="exact").values()) >= 1
    assert sum(samples(own, "segment_cache_misses").values()) >= 1


def test_jobs_are_counted_by_state(own):
    job = own.wait(own.index([own.collections()[0].source], collection="sound"))
    assert job.state == "done"
    done = len([job for job in own.jobs() if job.state == "done"])
    assert samples(own, "jobs", state="done") == {("", ""): done}
    assert samples(own, "jobs", state="interrupted") == {("", ""): 0}


def test_requests_are_timed_by_route_and_status(own):
    search = {"route": "/v1/search"}
    before = samples(own, "gateway_request_seconds", **search, status="404").get(("_count", ""), 0)
    with pytest.raises(NotFound):
        own.search("zebra", collections=["nowhere"])
    after = samples(own, "gateway_request_seconds", **search, status="404")
    assert after["_count", ""] == before + 1
    assert samples(own, "gateway_request_seconds", **search, status="200")["_count", ""] >= 1


def test_every_metric_is_in_the_documents_and_the_dashboard_names_no_other(own):
    own.search("zebra", collections=["sound"])
    text = scrape(own).text
    exported = set(re.findall(r"^# HELP (shoal_\w+) ", text, re.MULTILINE))
    assert exported == set(re.findall(r"^\| `(shoal_\w+)`", TABLE, re.MULTILINE))
    for name, told in re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE):
        assert f"| `{name}` |" in TABLE
        assert told in TABLE
    series = set(re.findall(r"^(shoal_\w+)[{ ]", text, re.MULTILINE))
    asked = set(re.findall(r"shoal_\w+", " ".join(expressions())))
    assert asked <= series
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert exported == shown


def test_the_dashboard_can_be_imported_with_any_prometheus():
    (source, router) = DASHBOARD["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    asked = {json.dumps(p["datasource"]) for p in (router, *panels) if p["type"] != "row"}
    assert asked == {'{"type": "prometheus", "uid": "${datasource}"}'}
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels)


def expressions():
    targets = [t for panel in DASHBOARD["panels"] for t in panel.get("targets", ())]
    return [target["expr"] for target in targets]


def test_loads_and_unloads_are_counted_and_loads_timed(own):
    before = of(own, "static:builtin")
    until(lambda: of(own, "static:builtin")["unloads"] == before["loads"])
    own.embed(["zebra"], model="static:builtin")
    now = until(lambda: idle(of(own, "static:builtin")))
    assert now["loads"] == now["unloads"] == before["loads"] + 1
    assert now["texts"] == before["texts"] + 1
    assert 0 < now["load_seconds"] < 60


def idle(values):
    return values if values["loads"] == values["unloads"] and not values["loaded"] else None


def test_a_refused_load_is_counted(own, tmp_path):
    giant = write_model(tmp_path / "giant", config={**CONFIG, "num_attention_heads": 100_000})
    model = f"onnx:{giant / 'model.onnx'}"
    with pytest.raises(MemoryLimitExceeded, match="of its limit of 400 MiB"):
        own.embed(["zebra"], model=model)
    values = of(own, model)
    assert (values["refusals"], values["kills"], values["loads"]) == (1, 0, 0)


def test_an_end_at_the_memory_limit_and_the_restart_after_it_are_counted(own, tmp_path):
    (tmp_path / "load-arrays").touch()
    model = f"lying:{tmp_path / 'load-arrays'}"
    with pytest.raises(MemoryLimitExceeded):
        own.embed(["zebra"], model=model, deadline_s=60)
    values = until(lambda: counted(of(own, model)))
    assert values["kills"] == values["restarts"]


def counted(values):
    return values if values.get("kills") else None


def test_a_kill_from_outside_is_a_restart_alone(own):
    before = of(own, "static:builtin")
    victim = next(r for r in own.status().replicas if r.detail.get("model") == "static:builtin")
    os.kill(victim.pid, signal.SIGKILL)
    own.embed(["zebra"], model="static:builtin")
    now = of(own, "static:builtin")
    assert (now["restarts"], now["kills"]) == (before["restarts"] + 1, before["kills"])


def test_an_actor_that_does_not_answer_is_down(own):
    host = next(r for r in own.status().replicas if r.kind == "ShardHost")
    os.kill(host.pid, signal.SIGSTOP)
    try:
        values = metrics(own)
        assert values["shoal_actor_up"][host.name] == 0
        assert host.name not in values["shoal_actor_pss_bytes"]
        assert sum(values["shoal_actor_up"].values()) == len(values["shoal_actor_up"]) - 1
    finally:
        os.kill(host.pid, signal.SIGCONT)
