"""A connection that breaks under a call: the call is made again where that can do no harm."""

import asyncio
import socket
import struct
import threading

import pytest

from actors.errors import GatewayUnavailable
from cluster.client import AsyncShoalClient, ShoalClient

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


class Gateway:
    """Answers so many calls of each connection, reads the next one, and resets the connection."""

    def __init__(self, answers):
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.calls = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with self._listener:
            for answers in self._answers:
                with self._listener.accept()[0] as connection:
                    self._hold(connection, answers)

    def _hold(self, connection, answers):
        for number in range(answers + 1):
            asked = connection.recv(1 << 16)
            if not asked:
                return
            self.calls.append(b" ".join(asked.split(b" ", 2)[:2]).decode())
            if number < answers:
                connection.sendall(ANSWER)
        reset = struct.pack("ii", 1, 0)  # lingers for no time: what is unsent is dropped
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)


def waiting(url, *operations):
    with ShoalClient(url, token="t") as shoal:
        return [operation(shoal) for operation in operations]


def awaiting(url, *operations):
    async def work():
        async with AsyncShoalClient(url, token="t") as shoal:
            return [await operation(shoal) for operation in operations]

    return asyncio.run(work())


def collections(shoal):
    return shoal.collections()


def delete(shoal):
    return shoal.delete("pond")


@pytest.mark.parametrize("made", [waiting, awaiting])
def test_a_call_that_only_asks_is_made_again(made):
    gateway = Gateway([1, 1])
    assert made(gateway.url, collections, collections) == [(), ()]
    assert gateway.calls == ["GET /v1/collections"] * 3


@pytest.mark.parametrize("made", [waiting, awaiting])
def test_one_that_breaks_twice_is_told(made):
    gateway = Gateway([1, 0])
    with pytest.raises(GatewayUnavailable, match="no answer from http"):
        made(gateway.url, collections, collections)
    assert gateway.calls == ["GET /v1/collections"] * 3


@pytest.mark.parametrize("made", [waiting, awaiting])
def test_one_that_changes_something_is_not_made_again(made):
    gateway = Gateway([1])
    with pytest.raises(GatewayUnavailable, match="no answer from http"):
        made(gateway.url, collections, delete)
    assert gateway.calls == ["GET /v1/collections", "DELETE /v1/collections/pond"]


def test_searches_look_ups_and_embeddings_only_ask():
    calls = []
    shoal = ShoalClient("http://nowhere", token="t")
    shoal.send = calls.append
    shoal.search("q")
    shoal.embed(["t"])
    shoal.symbols("name")
    shoal.similar(text="t")
    shoal.read("0" * 16)
    shoal.index(["."])
    assert [call.repeatable for call in calls] == [True] * 5 + [False]


def test_a_connection_that_breaks_takes_no_other_along():
    gateway = Gateway([1, 1])

    async def work():
        async with AsyncShoalClient(gateway.url, token="t") as shoal:
            await shoal.collections()
            before = shoal._http
            await shoal.collections()
            assert shoal._http is before

    asyncio.run(work())
    assert gateway.calls == ["GET /v1/collections"] * 3
