"""An object store under load: it refuses, delays, and does what it answers with an error."""

import http.client
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from urllib.parse import urlsplit

_DELAY_S = 0.2


class Fate(StrEnum):
    """What becomes of a request."""

    ANSWERED = "answered"
    DELAYED = "delayed"
    REFUSED = "503 SlowDown"
    """The store never hears of it."""
    LOST = "500 InternalError"
    """It is done all the same."""


class Kind(StrEnum):
    """Requests that a client makes again in ways of their own."""

    READ = "GET"
    PUT = "PutObject"
    PUT_IF_ABSENT = "PutObject if absent"
    PUBLICATION = "PutObject of a manifest, if absent"
    PART = "UploadPart"
    COMPLETION = "CompleteMultipartUpload"
    OTHER = "other"


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    method: str
    path: str
    is_conditional: bool

    @property
    def kind(self):
        if self.method in {"GET", "HEAD"}:
            return Kind.READ
        if "uploadId=" in self.path:
            return {"PUT": Kind.PART, "POST": Kind.COMPLETION}.get(self.method, Kind.OTHER)
        if self.method != "PUT":
            return Kind.OTHER
        if self.is_conditional:
            return Kind.PUBLICATION if "/manifests/" in self.path else Kind.PUT_IF_ABSENT
        return Kind.PUT


def always(fate):
    return lambda _kind: fate


def by_turns(seed):
    """Return fates that come round and round, for each kind of request by itself."""
    writes = (Fate.REFUSED, Fate.LOST, Fate.DELAYED, *[Fate.ANSWERED] * 7)
    mixtures = dict.fromkeys(Kind, writes)
    mixtures[Kind.READ] = (Fate.REFUSED, *[Fate.ANSWERED] * 14)
    for few in (Kind.PUT_IF_ABSENT, Kind.PUBLICATION):
        mixtures[few] = (Fate.LOST, Fate.REFUSED, Fate.ANSWERED)
    drawn = random.Random(seed)
    turns = {kind: cycle(drawn.sample(of, len(of))) for kind, of in mixtures.items()}
    return lambda kind: next(turns[kind])


def once(kind, fate):
    """Return a fate for the first request of a kind; all others are answered."""
    rest = iter([fate])
    return lambda asked: next(rest, Fate.ANSWERED) if asked is kind else Fate.ANSWERED


class FlakyStore:
    """What clients see of a store.

    Attributes:
        address: Its URL.
        met: How many requests of a kind met a fate.
    """

    def __init__(self, behind):
        self.behind = urlsplit(behind).netloc
        self.address = ""
        self.met = Counter()
        self._choosing = threading.Lock()
        self.become(always(Fate.ANSWERED))

    def become(self, fate_of):
        """Choose what becomes of the requests of each kind, from now on."""
        with self._choosing:
            self._fate_of = fate_of
            self.met.clear()

    def fate(self, request):
        with self._choosing:
            fate = self._fate_of(request.kind)
            self.met[request.kind, fate] += 1
            return fate


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, "If-None-Match" in self.headers)
        fate = self.server.store.fate(request)
        if fate is Fate.DELAYED:
            time.sleep(_DELAY_S)
        if fate is Fate.REFUSED:
            self._fail(fate)
            return
        status, headers, content = self._forwarded(body)
        if fate is Fate.LOST:
            self._fail(fate)
        else:
            self._answer(status, headers, content)

    def _forwarded(self, body):
        connection = http.client.HTTPConnection(self.server.store.behind)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _fail(self, fate):
        status, code = fate.split()
        content = f"<Error><Code>{code}</Code></Error>".encode()
        self._answer(int(status), {"Content-Type": "application/xml"}, content)

    def _answer(self, status, headers, content):
        self.send_response_only(status)
        length = str(len(content))
        if self.command == "HEAD":
            length = headers.get("Content-Length", "0")
        for name, value in headers.items():
            if name.lower() not in {"connection", "content-length", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""

    def __getattr__(self, name):
        """Return what handles a method, as the base class asks for it."""
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)


@contextmanager
def flaky_store(behind):
    """Yield a store that keeps everything in the one at an address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        server.store = FlakyStore(behind)
        server.store.address = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.store
        finally:
            server.shutdown()
            serving.join()
