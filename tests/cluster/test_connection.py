"""HTTP with a gateway: what is kept open, what is told of what breaks, and what comes through."""

import socket
import threading
from contextlib import contextmanager

import pytest

from cluster import connection
from cluster.connection import CannotConnect, ConnectionBroke, Connections, TookTooLong
from cluster.daemon import Endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BOUND_S = 30


class Server:
    """Takes connections one after the other, and says what it is to say to each request there."""

    def __init__(self, *conversations):
        self.asked = []
        self._conversations = conversations
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(BOUND_S)
        self.endpoint = Endpoint(f"http://127.0.0.1:{self._listening.getsockname()[1]}/shoal/")
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self):
        for replies in self._conversations:
            connection, _ = self._listening.accept()
            connection.settimeout(BOUND_S)
            with connection:
                for reply in replies:
                    self.asked.append(self._request(connection))
                    connection.sendall(reply)

    def _request(self, connection):
        asked = connection.recv(1 << 20)
        while asked and b"\r\n\r\n" not in asked:
            asked += connection.recv(1 << 20)
        while b"chunked" in asked and not asked.endswith(b"0\r\n\r\n"):
            asked += connection.recv(1 << 20)
        return asked

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._thread.join(BOUND_S)
        self._listening.close()


@contextmanager
def connected(*conversations, headers=None):
    with Server(*conversations) as server:
        connections = Connections(server.endpoint, headers or {})
        yield connections, server
        connections.close()


def ask(connections, body=None, timeout_s=BOUND_S):
    return connections.ask("POST", "/v1/x?a=b", body, timeout_s)


def test_a_connection_carries_one_call_after_the_other():
    with connected([OK, OK], headers={"Authorization": "Bearer t"}) as (connections, server):
        assert ask(connections) == (200, b"hi")
        assert ask(connections, b"{}") == (200, b"hi")
    first, second = server.asked
    assert first.startswith(b"POST /shoal/v1/x?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Authorization: Bearer t\r\n" in first
    assert b"Content-Length: 0\r\n" in first
    assert b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" in second


def test_one_that_the_gateway_closed_meanwhile_is_not_used_again():
    with connected([OK], [OK]) as (connections, server):
        assert ask(connections).status == 200
        kept = connections._idle[0]
        while kept.is_silent:
            pass
        assert ask(connections).status == 200
    assert len(server.asked) == 2


def test_one_that_rested_is_not_used_again(monkeypatch):
    with connected([OK, OK]) as (connections, _):
        assert ask(connections).status == 200
        first = connections._idle[0]
        monkeypatch.setattr(connection, "_REST_S", 0.0)
        with pytest.raises(TookTooLong):  # the server still speaks with the first
            ask(connections, timeout_s=0.1)
        assert first not in connections._idle


def test_one_that_is_to_be_closed_is():
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with connected([closing], [OK]) as (connections, _):
        assert ask(connections).status == 200
        assert not connections._idle
        assert ask(connections).status == 200


def test_pieces_are_sent_as_they_come_but_for_empty_ones():
    with connected([OK]) as (connections, server):
        assert ask(connections, iter([b"ab", b"", b"c" * 300])).status == 200
    assert server.asked[0].endswith(b"2\r\nab\r\n12c\r\n" + b"c" * 300 + b"\r\n0\r\n\r\n")


def test_what_making_a_piece_raises_comes_through():
    def pieces():
        yield b"first"
        raise PermissionError("a file")

    with Server() as server, pytest.raises(PermissionError, match="a file"):
        ask(Connections(server.endpoint, {}), pieces())


def test_an_answer_before_all_pieces_are_read_is_the_answer():
    refused = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"

    class Refusing(Server):
        def _request(self, connection):
            return connection.recv(100)

    with Refusing([refused]) as server:
        pieces = (b"x" * (1 << 20) for _ in range(64))
        assert ask(Connections(server.endpoint, {}), pieces) == (413, b"big")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "content"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            b"abc",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["announced", "in chunks", "empty"],
)
def test_answers_of_every_form_are_read(reply, content):
    with connected([reply]) as (connections, _):
        assert ask(connections).content == content


@pytest.mark.parametrize(
    "reply",
    [b"", OK[:-1], b"what?\r\n\r\n"],
    ids=["nothing", "half an answer", "no HTTP"],
)
def test_a_gateway_that_goes_away_is_told_of(reply):
    with connected([reply]) as (connections, _), pytest.raises(ConnectionBroke):
        ask(connections)


def test_a_gateway_that_says_nothing_is_told_of():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = Endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TookTooLong, match="silent"):
            ask(Connections(endpoint, {}), timeout_s=0.05)


@pytest.mark.parametrize("how", ["port", "socket", "name"])
def test_where_nobody_listens_nothing_is_sent(how, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    endpoint = {
        "port": Endpoint(f"http://127.0.0.1:{port}"),
        "socket": Endpoint("http://shoal", socket=str(tmp_path / "no.sock")),
        "name": Endpoint("http://nobody.invalid"),
    }[how]
    with pytest.raises(CannotConnect):
        ask(Connections(endpoint, {}))


def test_several_threads_have_connections_of_their_own():
    begin = threading.Barrier(2)

    class Together(Server):
        def _work(self):
            serving = []
            for _ in range(2):
                connection, _ = self._listening.accept()
                serving.append(threading.Thread(target=self._serve, args=(connection,)))
                serving[-1].start()
            for one in serving:
                one.join(BOUND_S)

        def _serve(self, connection):
            with connection:
                self._request(connection)
                begin.wait(BOUND_S)  # both calls are under way
                connection.sendall(OK)

    with Together() as server:
        connections = Connections(server.endpoint, {})
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(ask(connections).status)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND_S)
        assert found == [200, 200]
        assert len(connections._idle) == 2
        connections.close()
