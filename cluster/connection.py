"""HTTP/1.1 with one gateway, for a program that waits for its answers.

A search sends one small body and reads another. What general clients do around that (redirects,
cookies, hooks, a pool with locks, headers as those of mails) took more of a processor than a router
takes for its part. Answers are parsed by httptools, as the gateway parses requests.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

from cluster.daemon import Endpoint

CONNECT_S = 5.0
_READ_BYTES = 1 << 16
_KEPT = 64
"""Connections that wait for calls to come; a thread uses one at a time."""
_REST_S = 5.0
"""Connections that rested for longer are not used again: a gateway closes them after 30 s, and one
that closes just as a call arrives loses it. The async client rests them as long."""
_FIRST_FINAL = 200
"""Status; those before it announce that another answer follows."""
_PORTS = {"http": 80, "https": 443}


class CannotConnect(Exception):
    """Nobody listens there, or not as who it should be; nothing was sent."""


class ConnectionBroke(Exception):
    """The gateway went away with a call in its hands, or just before it read it."""


class TookTooLong(Exception):
    """No answer came in time."""


class Reply(NamedTuple):
    """What a gateway answered."""

    status: int
    content: bytes


class Connections:
    """Keeps connections to a gateway open between calls; for several threads.

    Args:
        endpoint: The gateway.
        headers: Sent with every call.
    """

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._url = urlsplit(endpoint.url)
        own = {"Host": self._url.netloc.rpartition("@")[2], **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        self._idle: deque[_Connection] = deque()  # of which several threads may take and give

    def ask(
        self, method: str, target: str, body: bytes | Iterable[bytes] | None, timeout_s: float
    ) -> Reply:
        """Make a call and read the answer whole; what making pieces of a body raises comes through.

        Args:
            method: GET, POST and so on.
            target: Path and query, quoted.
            body: JSON; or pieces of whatever it is, of any length; or none.
            timeout_s: Seconds that the gateway may be silent.

        Raises:
            CannotConnect: There is no gateway.
            ConnectionBroke: It went away.
            TookTooLong: It was silent for too long.
        """
        head = f"{method} {self._url.path.rstrip('/')}{target} HTTP/1.1\r\n{self._headers}"
        connection = self._kept() or self._connected()
        try:
            connection.send(head, body, timeout_s)
            reply, stays_open = connection.answer(timeout_s)
        except BaseException:
            connection.close()
            raise
        if stays_open and len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    def close(self) -> None:
        """Close the connections that no call uses."""
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.rested_s < _REST_S and connection.is_silent:
                return connection
            connection.close()
        return None

    def _connected(self) -> _Connection:
        try:
            return _Connection(self._dialled())
        except OSError as error:
            raise CannotConnect(str(error) or type(error).__name__) from error

    def _dialled(self) -> socket.socket:
        if self._endpoint.socket:
            local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                local.settimeout(CONNECT_S)
                local.connect(self._endpoint.socket)
            except OSError:
                local.close()
                raise
            return local
        host = self._url.hostname or ""
        address = (host, self._url.port or _PORTS[self._url.scheme])
        plain = socket.create_connection(address, CONNECT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._trusted.wrap_socket(plain, server_hostname=host) if self._trusted else plain

    @cached_property
    def _trusted(self) -> ssl.SSLContext | None:
        if not self._endpoint.verified:
            return None
        import httpx2  # noqa: PLC0415 - the async client trusts the same

        return httpx2.create_ssl_context()


class _Connection:
    """Carries one call at a time; told by its parser what comes."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._parser = HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._is_answered = False
        self._stays_open = False
        self._answered_at = 0.0

    @property
    def rested_s(self) -> float:
        """How many seconds ago the last answer came."""
        return time.monotonic() - self._answered_at

    @property
    def is_silent(self) -> bool:
        """Whether nothing is to be read, which between calls is the other side's good-bye."""
        if sys.platform == "win32":
            return not select.select([self._socket], [], [], 0)[0]
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return not waiting.poll(0)

    def send(self, head: str, body: bytes | Iterable[bytes] | None, timeout_s: float) -> None:
        """Send a request whose head lacks what tells of its body."""
        self._socket.settimeout(timeout_s)
        if body is None or isinstance(body, bytes):
            kind = "Content-Type: application/json\r\n" if body else ""
            length = f"Content-Length: {len(body or b'')}\r\n\r\n"
            self._send(f"{head}{kind}{length}".encode() + (body or b""))
            return
        is_read = self._send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for piece in filter(None, body):
            is_read = is_read and self._send(b"%x\r\n%b\r\n" % (len(piece), piece))
            if not is_read:
                return
        self._send(b"0\r\n\r\n")

    def answer(self, timeout_s: float) -> tuple[Reply, bool]:
        """Return what comes, and whether the connection may carry another call."""
        self._is_answered = False
        try:
            while not self._is_answered:
                data = self._socket.recv(_READ_BYTES)
                if not data:
                    raise ConnectionBroke("it was closed before an answer came")
                self._parser.feed_data(data)
        except TimeoutError as error:
            raise TookTooLong(f"silent for {timeout_s:g} s") from error
        except (OSError, HttpParserError) as error:
            raise ConnectionBroke(str(error) or type(error).__name__) from error
        return Reply(self._parser.get_status_code(), b"".join(self._parts)), self._stays_open

    def close(self) -> None:
        self._socket.close()

    def on_message_begin(self) -> None:
        self._parts.clear()

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        self._is_answered = self._parser.get_status_code() >= _FIRST_FINAL
        self._stays_open = self._parser.should_keep_alive()
        self._answered_at = time.monotonic()

    def _send(self, data: bytes) -> bool:
        """Return whether it was taken; where not, the gateway may have said why."""
        try:
            self._socket.sendall(data)
        except TimeoutError as error:
            raise TookTooLong("nothing was read any more") from error
        except (BrokenPipeError, ConnectionResetError):
            return False
        except OSError as error:
            raise ConnectionBroke(str(error)) from error
        return True
