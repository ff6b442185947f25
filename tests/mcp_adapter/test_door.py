"""Who may pass the door, and who waits at it has less time left inside."""

import asyncio
import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from actors.routing.admission import Admission
from mcp_adapter.door import MAX_BODY_BYTES, Door, Guard, waited_s
from mcp_adapter.hosts import Hosts
from mcp_adapter.rates import Rates
from mcp_adapter.scopes import Keys

TOKEN = "the gateway's own token"
READER = "0123456789abcdef-reader"
KEYS = Keys(TOKEN, f"search:{READER}")


def request(path="/v1/search", token=TOKEN, method="POST", **headers):
    given = {"authorization": f"Bearer {token}", "content_length": "2", **headers}
    encoded = [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items() if v]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": encoded,
        "client": ("192.0.2.7", 5000),
    }


def a_service(**other):
    known = {
        "admission": Admission(at_work=1),
        "phase": "ready",
        "in_use": nullcontext,
        "settings": SimpleNamespace(deadline_s=10.0),
    }
    return SimpleNamespace(**{**known, **other})


async def behind(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def answered(scope, guard=None):
    """Return the status, the headers and the document that a door answers with."""
    sent = []

    async def send(message):
        sent.append(message)

    await Door(behind, a_service(), guard or Guard(KEYS))(scope, None, send)
    start, body = sent
    return start["status"], dict(start["headers"]), json.loads(body["body"])


async def test_the_wait_for_a_turn_is_told_to_what_lies_behind():
    entered, may_end = asyncio.Event(), asyncio.Event()
    waited = []

    async def answer(scope, _receive, _send):
        waited.append(waited_s(scope))
        entered.set()
        await may_end.wait()

    door = Door(answer, a_service(), Guard(KEYS))
    first = asyncio.create_task(door(request(), None, None))
    await entered.wait()
    second = asyncio.create_task(door(request(), None, None))
    await asyncio.sleep(0.2)
    may_end.set()
    await asyncio.gather(first, second)
    assert waited[0] < waited[1]
    assert waited[1] >= 0.2


def test_a_request_that_took_no_turn_has_waited_for_none():
    assert waited_s(request()) == 0.0


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN]
)
async def test_without_the_token_nobody_passes(authorization):
    status, headers, problem = await answered(request(authorization=authorization))
    assert (status, problem["error"]) == (401, "Unauthorized")
    assert headers[b"www-authenticate"] == b"Bearer"
    assert TOKEN not in str(problem)


@pytest.mark.parametrize(
    ("path", "needed"),
    [("/v1/index", "index"), ("/v1/shutdown", "admin"), ("/v1/not-known-yet", "admin")],
)
async def test_a_token_opens_what_it_was_given_out_for(path, needed):
    status, _, problem = await answered(request(path, READER))
    assert (status, problem["error"]) == (403, "Forbidden")
    assert f"takes {needed}" in problem["message"]
    assert (await answered(request("/v1/search", READER)))[0] == 200
    assert (await answered(request(path)))[0] == 200


async def test_the_probes_are_open():
    assert (await answered(request("/healthz", "")))[0] == 200


@pytest.mark.parametrize("path", ["/v1/search", "/v1/embeddings"])
async def test_too_large_a_body_is_refused_unread(path):
    status, _, problem = await answered(request(path, content_length=str(MAX_BODY_BYTES + 1)))
    assert status == 413
    assert "8 MiB" in str(problem)


async def test_a_body_of_unknown_size_is_refused_unless_it_is_streamed():
    stream = {"content_length": "", "transfer_encoding": "chunked"}
    assert (await answered(request("/v1/search", **stream)))[0] == 400
    assert (await answered(request("/v1/ingest", **stream)))[0] == 200


async def test_a_page_whose_name_was_bound_to_our_address_is_refused():
    guard = Guard(KEYS, Hosts.of("127.0.0.1"))
    status, _, problem = await answered(request(host="evil.example:8750"), guard)
    assert (status, problem["error"]) == (403, "Forbidden")
    assert "SHOAL_ALLOWED_HOSTS" in problem["message"]


async def test_a_page_of_another_origin_is_refused():
    guard = Guard(KEYS, Hosts.of("127.0.0.1"))
    asked = request(host="127.0.0.1:8750", origin="https://evil.example")
    status, _, problem = await answered(asked, guard)
    assert (status, problem["error"]) == (403, "Forbidden")
    assert "SHOAL_ALLOWED_ORIGINS" in problem["message"]


async def test_who_asks_too_fast_is_told_when_to_come_back():
    guard = Guard(KEYS, rates=Rates(0.5, clock=lambda: 0.0))
    assert (await answered(request(), guard))[0] == 200
    status, headers, problem = await answered(request(), guard)
    assert (status, problem["error"]) == (429, "Overloaded")
    assert headers[b"retry-after"] == b"2"
    assert (await answered(request(token=READER), guard))[0] == 200, "each token has its own"


async def test_who_guesses_tokens_is_slowed_down_too():
    guard = Guard(KEYS, rates=Rates(1.0, clock=lambda: 0.0))
    statuses = [(await answered(request(token=f"guess {n}"), guard))[0] for n in range(4)]
    assert statuses == [401, 401, 429, 429]


async def test_clients_of_openai_are_refused_in_its_shape():
    _, _, problem = await answered(request("/v1/embeddings", "wrong"))
    assert problem["error"]["type"] == "invalid_request_error"
    assert problem["error"]["code"] == "invalid_api_key"
