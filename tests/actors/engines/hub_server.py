"""A small server that speaks the hub's protocol, and a process that downloads from it."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

PROGRAM = """
import json, sys
from actors.engines import hub, registry
from actors.errors import ShoalError

told = []
try:
    offline = "offline" in sys.argv
    card = registry.describe(sys.argv[1], lambda *step: told.append(step), offline)
    answer = {"spec": str(card.spec), "path": str(card.path), "told": told}
except ShoalError as error:
    answer = {"error": f"{type(error).__name__}: {error}", "told": told}
print(json.dumps(answer | {"cached": hub.cached_models()}))
"""


class Hub:
    """Repositories by name, each with its commits by name, each with its files.

    Attributes:
        refused: Status of repositories that may not be read.
        cut: How many more downloads of large files end half-way.
        hold: Whether downloads of large files stop half-way, until the client has gone.
        half_sent: Set once one has.
        asked: Paths of the files that were sent, with the first byte.
    """

    def __init__(self, url):
        self.url = url
        self.repositories, self.refs = {}, {}
        self.refused, self.cut, self.asked = {}, 0, []
        self.hold, self.half_sent = False, Event()

    def publish(self, name, folder, *refs):
        """Take a folder's files as the newest commit; return its name."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        commit = sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.repositories.setdefault(name, {})[commit] = files
        self.refs.setdefault(name, {}).update(dict.fromkeys(("main", *refs), commit))
        return commit

    def commit(self, name, revision):
        return self.refs[name].get(revision, revision)

    def start(self, model, cache, *options, **environment):
        """Begin to describe a model, in a process of its own."""
        names = {"HF_ENDPOINT": self.url, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, model, *options],
            env={**os.environ, **names, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def fetch(self, *arguments, **environment):
        """Describe a model, and return what the process says."""
        with self.start(*arguments, **environment) as process:
            answer, log = process.communicate(timeout=120)
        assert process.returncode == 0, log
        return json.loads(answer)


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(send_body=False)

    def do_GET(self):
        self._answer(send_body=True)

    def _answer(self, send_body):
        path = self.path.partition("?")[0].strip("/")
        api = path.startswith("api/models/")
        name = "/".join(path.removeprefix("api/models/").split("/")[:2])
        rest = path.removeprefix("api/models/").split("/")[2:]
        hub = self.server.hub
        if name in hub.refused or name not in hub.repositories:
            code = hub.refused.get(name, "RepoNotFound")
            return self._send(403 if code == "GatedRepo" else 404, b"", {"X-Error-Code": code})
        commit = hub.commit(name, rest[1] if len(rest) > 1 else "main")
        files = hub.repositories[name].get(commit)
        if files is None:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if api:
            return self._send_json(
                _tree(files) if "tree" in rest[:1] else {"id": name, "sha": commit}
            )
        return self._send_file("/".join(rest[2:]), files, commit, send_body)

    def _send_file(self, name, files, commit, send_body):
        content = files[name]
        headers = {
            "ETag": f'"{_digest(content)}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        if not send_body:
            return self._send(200, b"", {**headers, "Content-Length": len(content)})
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        self.server.hub.asked.append((name, start))
        body, status = content[start:], 200
        if "Range" in self.headers:
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers["Content-Length"] = len(body)
        if self.server.hub.cut and len(body) > 100_000:
            self.server.hub.cut -= 1
            body, self.close_connection = body[: len(body) // 2], True
        if self.server.hub.hold and len(body) > 100_000:
            return self._send_half(body, headers)
        return self._send(status, body, headers)

    def _send_half(self, body, headers):
        self._send(200, body[: len(body) // 2], headers)
        self.server.hub.half_sent.set()
        self.rfile.read(1)  # nothing comes: it ends when the client does
        self.close_connection = True

    def _send_json(self, content):
        body = json.dumps(content).encode()
        self._send(200, body, {"Content-Type": "application/json", "Content-Length": len(body)})

    def _send(self, status, body, headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


def _tree(files):
    return [
        {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}
        for name, content in files.items()
    ]


def _digest(content):
    return sha1(content).hexdigest()
