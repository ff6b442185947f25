"""A gateway on TCP holds against those who may reach it: each refusal, and whatever is sent."""

import json
import os

import httpx2
import pytest
import schemathesis
from command import run_shoal
from hypothesis import HealthCheck, Phase, given, settings
from tcp_gateway import tcp_gateway

from actors.errors import Forbidden
from cluster.client import ShoalClient

OWN = "own-token-of-the-gateway"
READER, WRITER = "reader-0123456789abcdef", "writer-0123456789abcdef"
TOO_DEEP = 100_000
EXAMPLES = 40
"""Of each operation: the whole document takes half a minute."""
LEFT_OUT = {
    ("post", "/v1/shutdown"): "ends the gateway",
    ("post", "/v1/scale"): "would start up to 256 actors of each kind",
    ("post", "/v1/doctor"): "takes no argument, and seconds",
    ("post", "/v1/collections/{collection}/backup"): "would write to made-up places",
    ("post", "/v1/backups"): "would ask made-up object stores, which do not answer",
    ("post", "/v1/restore"): "the same",
}


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    top = tmp_path_factory.mktemp("strangers")
    for name in ("inside", "outside"):
        (top / name).mkdir()
        (top / name / "notes.md").write_text(f"# Zebra crossings {name}\n")
    (top / "inside" / "way-out").symlink_to("../outside")
    (top / "inside" / "leak.md").symlink_to("../outside/notes.md")
    return top


@pytest.fixture(scope="module")
def url(top):
    environment = {
        "SHOAL_TOKEN": OWN,
        "SHOAL_TOKENS": f"search:{READER} index:{WRITER}",
        "SHOAL_INDEX_ROOTS": str(top / "inside"),
        "SHOAL_ALLOWED_HOSTS": "shoal.example",
        "SHOAL_ALLOWED_ORIGINS": "https://tools.example",
        "HF_HUB_OFFLINE": "1",
    }
    with tcp_gateway(top / "root", top / "log", **environment) as url:
        yield url


@pytest.fixture
def http(url):
    with httpx2.Client(base_url=url, timeout=60, headers=bearing(OWN)) as client:
        yield client


def bearing(token):
    return {"Authorization": f"Bearer {token}"}


def refusal(answer):
    return answer.status_code, answer.json()["error"]


def test_only_its_own_names_are_answered(http):
    for host, status in (("shoal.example", 200), ("localhost:1", 200), ("evil.example", 403)):
        assert http.get("/v1/collections", headers={"Host": host}).status_code == status


def test_only_pages_that_are_allowed_may_call_and_read(http):
    allowed = http.get("/v1/collections", headers={"Origin": "https://tools.example"})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://tools.example"
    evil = http.get("/v1/collections", headers={"Origin": "https://evil.example"})
    assert refusal(evil) == (403, "Forbidden")
    assert "access-control-allow-origin" not in evil.headers


def test_a_browser_may_ask_whether_it_may(http):
    asking = {
        "Origin": "https://tools.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = http.options("/v1/search", headers={**asking, "Authorization": ""})
    assert answer.status_code == 200
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()


def test_nothing_but_the_probes_is_told_without_a_token(http):
    for path in ("/v1/status", "/openapi.json", "/metrics", "/nowhere"):
        assert refusal(http.get(path, headers=bearing("wrong"))) == (401, "Unauthorized")
    assert http.get("/healthz", headers=bearing("wrong")).status_code == 200


def test_a_doctor_examines_the_cluster_behind_a_remote_gateway(url):
    done = run_shoal("doctor", "--json", env={**os.environ, "SHOAL_URL": url, "SHOAL_TOKEN": OWN})
    told = json.loads(done.stdout)
    assert (done.returncode, told["unchecked"]) == (0, [])
    areas = {check["area"] for check in told["checks"]}
    assert areas >= {"versions", "storage", "clock", "ports", "actors", "auth", "enforcement"}


def test_each_token_reaches_as_far_as_its_scope(http, url, top):
    with ShoalClient(url, token=READER) as reader, pytest.raises(Forbidden, match="takes index"):
        reader.index([top / "inside"])
    with ShoalClient(url, token=WRITER) as writer:
        writer.wait(writer.index([top / "inside"], collection="zebras"))
        with pytest.raises(Forbidden, match="takes admin"):
            writer.delete("zebras")
        with pytest.raises(Forbidden, match="takes admin"):
            writer.doctor()
    with ShoalClient(url, token=READER) as reader:
        assert reader.search("zebra", collections=["zebras"]).hits
        assert reader.collections()
        with pytest.raises(Forbidden, match="takes admin"):
            reader.shutdown()


def test_one_who_may_only_search_cannot_have_models_fetched(http):
    body = {"texts": ["x"], "model": "onnx:somebody/a-model"}
    answer = http.post("/v1/embed", json=body, headers=bearing(READER))
    assert refusal(answer) == (404, "NotFound")
    body["model"] = "static:builtin"
    assert http.post("/v1/embed", json=body, headers=bearing(READER)).status_code == 200


@pytest.mark.parametrize("place", ["outside", "inside/../outside", "inside/way-out", "", "nowhere"])
@pytest.mark.parametrize("path", ["/v1/index", "/v1/reindex"])
def test_nothing_outside_the_roots_is_indexed(http, top, path, place):
    answer = http.post(path, json={"paths": [f"{top}/{place}"], "collection": "stolen"})
    assert refusal(answer) == (403, "Forbidden")
    assert str(top / "inside") in answer.json()["message"]


def test_a_link_inside_a_root_leads_to_nothing_outside(url, top):
    with ShoalClient(url, token=WRITER) as writer:
        writer.wait(writer.index([top / "inside"], collection="linked"))
        hits = writer.search("zebra", collections=["linked"]).hits
    assert [hit.path for hit in hits] == ["notes.md"]


@pytest.mark.parametrize("path", ["/v1/search", "/v1/index", "/v1/embeddings", "/v1/scale"])
def test_what_is_nested_too_deeply_is_refused(http, path):
    deep = '{"query": ' + "[" * TOO_DEEP + "]" * TOO_DEEP + "}"
    answer = http.post(path, content=deep, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "nested too deeply" in answer.text


def test_a_line_that_is_nested_too_deeply_is_refused(http):
    answer = http.post("/v1/ingest", params={"collection": "deep"}, content="[" * TOO_DEEP)
    assert answer.status_code == 400


def test_what_is_too_large_is_refused(http):
    assert refusal(http.post("/v1/search", content=b"x" * 9_000_000)) == (413, "LimitExceeded")


def test_the_field_that_is_wrong_is_named(http):
    for path, body, field in (
        ("/v1/search", {"query": "x", "limit": 0}, "limit"),
        ("/v1/search", {"query": "x", "colour": "red"}, "colour"),
        ("/v1/index", {"paths": []}, "paths"),
        ("/v1/embed", {"texts": [1]}, "texts.0"),
    ):
        answer = http.post(path, json=body)
        assert refusal(answer) == (422, "InvalidField")
        assert answer.json()["field"] == field
        assert answer.json()["message"].startswith(field)


def test_an_unknown_path_and_another_method_are_refused_in_the_same_shape(http):
    assert refusal(http.get("/v1/nowhere")) == (404, "NotFound")
    answer = http.get("/v1/search")
    assert refusal(answer) == (405, "InvalidRequest")
    assert answer.headers["allow"] == "POST"


def test_the_log_says_what_is_allowed_and_no_token(url, top):
    log = (top / "log").read_text()
    assert "tokens: 1 search, 1 index, 1 admin; allowed hosts: " in log
    assert "shoal.example" in log
    assert "origins: its own, https://tools.example" in log
    assert f"may be indexed: {top / 'inside'}" in log
    assert not any(token in log for token in (OWN, READER, WRITER))


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context, items):
    return "".join(json.dumps(item) + "\n" for item in items).encode()


def operations(document):
    for path, methods in document["paths"].items():
        yield from ((method, path) for method in methods if (method, path) not in LEFT_OUT)


def answers_to(operation, url, inside):
    """Return what an operation answers to requests that are made up after its description."""
    answers = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def asked(case):
        if case.path == "/v1/index":  # else the roots refuse all of them
            case.body["paths"] = [str(inside)]
        answers.append((case, case.call(base_url=url, headers=bearing(OWN), timeout=60)))

    asked()
    return answers


def wanted_no_time(case, answer):
    """Tell whether a request set itself a deadline that nothing could keep."""
    late = answer.status_code == 504 or "IncompleteCoverage" in answer.text
    return late and "deadline_s" in json.dumps(case.body, default=str)


def test_whatever_fits_the_document_is_answered_and_never_with_a_failure(http, url, top):
    """Each operation of the OpenAPI document, with requests that schemathesis makes up."""
    document = http.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    failures = [
        (method, path, case.body, answer.status_code, answer.text)
        for method, path in operations(document)
        for case, answer in answers_to(schema[path][method], url, top / "inside")
        if answer.status_code >= 500 and not wanted_no_time(case, answer)
    ]
    assert failures == []
