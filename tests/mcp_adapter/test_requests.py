"""What every request to the gateway gets: an id, a place in the metrics, an end."""

import logging

import httpx2
import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers

from actors.origin import current
from mcp_adapter.requests import Requests, no_times, origin_of

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def times():
    return no_times()


@pytest.fixture
async def http(times):
    app = FastAPI()

    @app.get("/whose/{thing}")
    async def whose(thing: str):
        return current().request_id

    @app.get("/broken")
    async def broken():
        raise ZeroDivisionError

    app.add_middleware(Requests, times=times)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://shoal"
    ) as client:
        yield client


async def test_a_callers_id_is_kept_through_the_request_and_returned(http):
    answer = await http.get("/whose/1", headers={"X-Request-Id": "Agent-7.a:b_c"})
    assert answer.json() == answer.headers["x-request-id"] == "Agent-7.a:b_c"


@pytest.mark.parametrize("given", ["", "a,b", "x" * 65, "new line", "é"])
async def test_an_id_that_could_be_misread_in_a_log_is_replaced(http, given):
    answer = await http.get("/whose/1", headers={"x-request-id": given.encode("latin-1")})
    assert answer.json() == answer.headers["x-request-id"] != given
    assert len(answer.json()) == 16


async def test_each_request_has_an_id_of_its_own(http):
    ids = {(await http.get("/whose/1")).json() for _ in range(3)}
    assert len(ids) == 3


async def test_what_fails_unexpectedly_is_logged_and_answered_under_its_id(http, times, caplog):
    with caplog.at_level(logging.ERROR):
        answer = await http.get("/broken", headers={"x-request-id": "r1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (503, "r1")
    problem = answer.json()
    assert (problem["error"], problem["request_id"]) == ("GatewayUnavailable", "r1")
    assert "(ZeroDivisionError); its log says more under request r1" in problem["message"]
    assert "ZeroDivisionError" in caplog.text
    assert times["/broken", 503].count == 1


async def test_requests_are_counted_by_the_route_and_not_by_the_path(http, times):
    for thing in range(3):
        await http.get(f"/whose/{thing}")
    await http.get("/nowhere")
    counts = {key: took.count for key, took in times.items()}
    assert counts == {("/whose/{thing}", 200): 3, ("refused", 404): 1}


@pytest.mark.parametrize(
    ("given", "taken"), [(TRACEPARENT, TRACEPARENT), ("00-zz-1", ""), ("", "")]
)
def test_a_callers_span_is_taken_up_where_it_is_one(given, taken):
    assert origin_of(Headers({"traceparent": given})).traceparent == taken
