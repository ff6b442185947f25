"""One request through all processes: under one id in their logs, in one trace of their spans."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from own_gateway import own_gateway
from waiting import until

from cluster import daemon

WATCHED = {
    "SHOAL_LOG_FORMAT": "json",
    "SHOAL_LOG_LEVEL": "debug",
    "SHOAL_TRACING": "true",
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_BSP_SCHEDULE_DELAY": "100",
}
SEARCH = {"query": "zebra crossings, how secret"}
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A gateway that logs all that it can, and writes its spans to standard output."""
    top = tmp_path_factory.mktemp("watched")
    (top / "sound.md").write_text("# Zebra crossing\n")
    with own_gateway(top / "root", **WATCHED) as shoal:
        shoal.wait(shoal.index([top / "sound.md"], collection="sound"))
        yield shoal


@pytest.fixture(scope="module")
def rooms(own):
    return daemon.Rooms(own.settings)


def post(own, path, body, **headers):
    endpoint = daemon.find(own.settings).endpoint
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=endpoint.socket), timeout=60) as http:
        return http.post(
            f"{endpoint.url}{path}", json=body, headers={**endpoint.headers, **headers}
        )


def records(rooms):
    """Return what gateway and actors have logged; the gateway's spans are in its log as well."""
    files = [rooms.log, *rooms.actor_logs.glob("*.log")]
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith('{"time"')]


def spans(rooms):
    """Return the spans that any process has written, by name."""
    found = {}
    decoder = json.JSONDecoder()
    written = [rooms.log, *rooms.ray_folder.glob("session_latest/logs/worker-*.out")]
    for file in written:
        text = file.read_text()
        for start in re.finditer(r'^\{\n    "name"', text, re.MULTILINE):
            try:
                span, _ = decoder.raw_decode(text, start.start())
            except ValueError:  # it is being written
                continue
            found.setdefault(span["name"], []).append(span)
    return found


def test_its_id_is_in_the_log_of_every_process_and_its_words_in_none(own, rooms):
    answer = post(own, "/v1/search", SEARCH, **{"x-request-id": "case-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "case-1")

    def logged():
        kinds = {r["process"].split("-")[0] for r in records(rooms) if r["request_id"] == "case-1"}
        return kinds >= {"gateway", "host", "embedder"}

    until(logged)
    files = [rooms.log, *rooms.folder.rglob("logs/*.log"), *rooms.folder.rglob("worker-*")]
    assert not [file for file in files if "how secret" in file.read_text(errors="replace")]


def test_a_batch_of_requests_names_each_in_the_log_of_its_host(own, rooms):
    ids = [f"batch-{number}" for number in range(24)]
    with ThreadPoolExecutor(len(ids)) as threads:
        asked = [
            threads.submit(post, own, "/v1/search", {"query": one}, **{"x-request-id": one})
            for one in ids
        ]
        assert {future.result().status_code for future in asked} == {200}

    def named():
        told = [r["request_id"] for r in records(rooms) if r["process"].startswith("host")]
        return set(ids) <= {one for several in told for one in several.split(",")}

    until(named)
    assert any("," in record["request_id"] for record in records(rooms))


def test_its_spans_are_one_trace_from_the_caller_to_hosts_and_replicas(own, rooms):
    trace = f"0x{CALLER.split('-')[1]}"
    post(own, "/v1/search", {"query": str(time.time())}, traceparent=CALLER)
    wanted = {"gateway.request", "router.search", "router.embed", "host.search", "embedder.embed"}

    def traced():
        ours = {
            name: [s for s in several if s["context"]["trace_id"] == trace]
            for name, several in spans(rooms).items()
        }
        return ours if all(ours.get(name) for name in wanted) else None

    found = until(traced)
    (gateway,), (router,) = found["gateway.request"], found["router.search"]
    assert gateway["parent_id"] == f"0x{CALLER.split('-')[2]}"
    assert router["parent_id"] == gateway["context"]["span_id"]
    ids = {s["context"]["span_id"] for several in found.values() for s in several}
    children = [s for name, several in found.items() for s in several if s is not gateway]
    assert all(span["parent_id"] in ids for span in children)


def test_an_error_names_its_request(own):
    answer = post(own, "/v1/search", {"query": ""}, **{"x-request-id": "case-2"})
    assert (answer.status_code, answer.json()["request_id"]) == (422, "case-2")
