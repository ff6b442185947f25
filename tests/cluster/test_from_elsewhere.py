"""Collections of what a gateway elsewhere does not have: clients' folders, stores, repositories."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx2
import obstore
import psutil
import pytest
from command import run_shoal
from repositories import git
from s3 import s3_environment
from waiting import runs, until

from actors.errors import Conflict, InvalidRequest, NotFound
from actors.storage import open_store
from cluster.client import AsyncShoalClient, ShoalClient
from cluster.daemon import Rooms
from cluster.ingest.sources import find_files
from cluster.ingest.walk import WalkLimits
from cluster.sending import Sending
from cluster.settings import Settings

HERE = f"client://{socket.gethostname()}"


@pytest.fixture(scope="module")
def remote(tmp_path_factory, s3_server):
    """Yield the URL, the token and the settings of a gateway on TCP, which may use a store."""
    root = tmp_path_factory.mktemp("remote")
    settings, token = Settings(root=str(root)), secrets.token_hex(8)
    shoal = Path(sys.executable).parent / "shoal"
    command = [shoal, "serve", "--host", "127.0.0.1", "--port", "0", "--root", root]
    env = {**os.environ, **s3_environment(s3_server), "SHOAL_TOKEN": token}
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            url = until(Rooms(settings).read).endpoint.url
            while not is_ready(url):  # bounded by the test's timeout: Ray takes its time
                assert process.poll() is None, "the gateway ended while it started"
                time.sleep(0.1)
            family = psutil.Process(process.pid).children(recursive=True)
            yield url, token, settings
        finally:
            process.terminate()
    until(lambda: not [child for child in family if runs(child)])


def is_ready(url):
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
def name():
    return f"sent-{secrets.token_hex(4)}"


@pytest.fixture
def sender(remote):
    """Yield a client of that gateway that notes the paths and bytes of what it streams."""
    url, token, _ = remote
    with ShoalClient(url, token=token) as client:
        client.status()
        client.sent = []
        ask = client._http.ask

        def noting(method, target, body, timeout_s):
            if body is not None and not isinstance(body, bytes):
                body = list(body)
                client.sent.append((target.partition("?")[0], b"".join(body)))
            return ask(method, target, body, timeout_s)

        client._http.ask = noting
        yield client


def spools(remote):
    temporary = Rooms(remote[2]).temporary
    return list(temporary.iterdir()) if temporary.exists() else []


def send(client, folder, collection, **options):
    client.sent = []
    return client.wait(client.upload(folder, collection=collection, **options))


def collection(client, name):
    return {c.name: c for c in client.collections()}.get(name)


def paths(client, name, query):
    found = client.search(query, mode="lexical", collections=[name]).hits
    return sorted(hit.path for hit in found)


def test_a_folder_is_sent_once_and_then_only_what_changed(sender, folder, name, remote):
    first = send(sender, folder, name)
    assert (first.files_total, first.files_changed, first.skipped) == (4, 4, {"ignored": 1})
    assert paths(sender, name, "evict") == ["src/cache.py"]
    assert collection(sender, name).source == f"{HERE}{folder}"
    assert b"def evict" in sender.sent[1][1]

    again = send(sender, folder, name)
    assert (again.files_total, again.files_unchanged, again.files_changed) == (4, 4, 0)
    assert (again.generation, again.skipped) == (1, {"ignored": 1})
    described, contents = (body.splitlines() for _, body in sender.sent)
    assert contents[:-1] == described  # lines, and no file's bytes
    assert json.loads(contents[-1]) == {"files": 4, "skipped": {"ignored": 1}}

    (folder / "src/http.go").unlink()
    (folder / "README.md").write_text("# Zebra crossing\n")
    (folder / "src/new.md").write_text("# Okapi\n")
    edited = send(sender, folder, name)
    assert (edited.files_changed, edited.files_unchanged, edited.files_removed) == (2, 2, 1)
    assert b"def evict" not in sender.sent[1][1]
    assert paths(sender, name, "zebra okapi") == ["README.md", "src/new.md"]
    assert paths(sender, name, "ParseCookie Manual") == []
    assert spools(remote) == []


def test_what_is_sent_is_what_a_gateway_would_find_in_the_folder(sender, folder, name):
    (folder / "src/.gitignore").write_text("*.tmp\n")
    (folder / "src/x.tmp").write_text("ignored\n")
    (folder / "empty.py").write_text("")
    (folder / "nul.dat").write_bytes(b"text\0more")
    (folder / "big.txt").write_bytes(b"x" * (1 << 20) + b"x")
    sent = send(sender, folder, name)
    there = sender.wait(sender.index([folder], collection=f"{name}-there"))
    assert (sent.skipped, sent.chunks) == (there.skipped, there.chunks)
    assert sent.files_changed == there.files_changed
    found = find_files(str(folder), ("",), WalkLimits())
    described = [json.loads(line)["path"] for line in sender.sent[0][1].splitlines()]
    odd = {"empty.py", "nul.dat"}
    assert described == [file.path for file in found.files if file.path not in odd]
    assert send(sender, folder, name).files_unchanged == sent.files_changed
    assert b"sent" not in sender.sent[1][1]


def test_a_part_of_the_folder_is_brought_up_to_date_alone(sender, folder, name):
    send(sender, folder, name)
    (folder / "src/cache.py").unlink()
    (folder / "src/deep").mkdir()
    (folder / "src/deep/new.md").write_text("# Okapi\n")
    (folder / "README.md").unlink()
    part = send(sender, folder / "src", name)
    assert (part.files_changed, part.files_unchanged, part.files_removed) == (1, 1, 1)
    assert paths(sender, name, "okapi manual") == ["README.md", "src/deep/new.md"]
    (folder / "src/deep/new.md").write_text("# Zebra\n")
    one = send(sender, folder, name, scopes=["src/deep/new.md"])
    assert (one.files_total, one.files_changed) == (1, 1)
    assert paths(sender, name, "zebra manual") == ["README.md", "src/deep/new.md"]


async def test_the_async_client_sends_without_blocking_its_loop(remote, folder, name):
    url, token, _ = remote
    async with AsyncShoalClient(url, token=token) as client:
        job = await client.wait(await client.upload(folder, collection=name))
        assert job.files_changed == 4
        with pytest.raises(NotFound, match="does not exist"):
            await client.upload(folder / "none")


def test_the_command_line_sends_folders_and_names_those_of_the_gateway_by_an_option(
    remote, folder, name
):
    url, token, _ = remote
    env = {**os.environ, "SHOAL_URL": url, "SHOAL_TOKEN": token}
    sent = run_shoal("index", ".", "--collection", name, "--json", cwd=folder, env=env)
    assert json.loads(sent.stdout)["files_changed"] == 4
    refused = run_shoal(
        "index", str(folder), "--collection", name, "--on-gateway", "--json", env=env
    )
    assert refused.returncode == 2
    assert f"holds {HERE}{folder}, and not {folder};" in refused.stderr
    two = run_shoal(
        *("index", "src/cache.py", "src/http.go", "--collection", name, "--json"),
        cwd=folder,
        env=env,
    )
    assert json.loads(two.stdout)["files_unchanged"] == 2


def test_another_clients_folder_is_refused(sender, folder, name, monkeypatch):
    send(sender, folder, name)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    with pytest.raises(InvalidRequest, match=f"holds {HERE}{folder}, and not client://another/"):
        sender.upload(folder, collection=name)


def test_an_emptied_folder_does_not_empty_its_collection(sender, folder, name):
    send(sender, folder, name)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(InvalidRequest, match=f"shoal delete {name}"):
        send(sender, folder, name)
    assert collection(sender, name).generation == 1


HASH = "d732c6be860e019351f99173fa6ae612"  # blake2b of "text", 16 bytes
WHOLE = json.dumps({"path": "a.md", "hash": HASH, "size": 4, "sent": True}).encode() + b"\ntext"
END = b'{"files":1,"skipped":{}}\n'


def post(remote, name, body, folder="client://elsewhere/x"):
    url, token, _ = remote
    query = {"collection": name, "folder": folder}
    bearer = {"Authorization": f"Bearer {token}"}
    return httpx2.post(f"{url}/v1/files", params=query, content=body, headers=bearer, timeout=60)


def test_a_refused_stream_publishes_nothing_and_leaves_nothing(sender, name, remote):
    hostile = WHOLE.replace(b"a.md", b"../a.md") + END
    for body in (hostile, WHOLE, b""):
        refused = post(remote, name, body)
        assert (refused.status_code, refused.json()["error"]) == (400, "InvalidRequest")
    assert post(remote, name, WHOLE + END, "client://h/../x").status_code == 400
    assert collection(sender, name) is None
    assert spools(remote) == []
    taken = post(remote, name, WHOLE + END).json()
    until(lambda: sender.job(taken["id"]).state == "done")
    assert paths(sender, name, "text") == ["a.md"]


def test_a_connection_that_breaks_publishes_nothing_and_leaves_nothing(
    sender, folder, name, remote
):
    url = httpx2.URL(remote[0])
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(
            f"POST /v1/files?collection={name}&folder={HERE}{folder} HTTP/1.1\r\n"
            f"Host: {url.host}\r\nAuthorization: Bearer {remote[1]}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        connection.sendall(f"{len(WHOLE):x}\r\n".encode() + WHOLE + b"\r\n")
        until(lambda: [file for spool in spools(remote) for file in spool.rglob("a.md")])
    until(lambda: spools(remote) == [])
    assert collection(sender, name) is None
    assert send(sender, folder, name).files_changed == 4


def test_a_client_that_fails_in_mid_stream_publishes_nothing(sender, folder, name, remote):
    send(sender, folder, name)
    (folder / "README.md").write_text("# Zebra\n")
    sending = Sending(folder, (), 1 << 20, name, None)
    call = sending.send(sender.send(sending.ask()))

    def broken():
        yield b"".join(call.lines)[:-10]
        raise ConnectionError

    with (
        pytest.raises(ConnectionError),
        ShoalClient(sender.settings.url, token=remote[1]) as other,
    ):
        other.send(replace(call, lines=broken()))
    until(lambda: spools(remote) == [])
    assert collection(sender, name).generation == 1
    assert send(sender, folder, name).generation == 2


def test_what_changes_between_the_two_requests_is_told(sender, folder, name):
    send(sender, folder, name)
    sending = Sending(folder, (), 1 << 20, name, None)
    lacking = sender.send(sending.ask())
    (folder / "README.md").write_text("# Zebra\n")
    send(sender, folder, name)
    with pytest.raises(Conflict, match="run this again"):
        sender.wait(sender.send(sending.send(lacking)))


def put(bucket, folder, *names):
    for name in names:
        obstore.put(open_store(bucket), f"docs/{name}", (folder / name).read_bytes())


def test_a_prefix_is_indexed_where_it_is_and_followed(sender, folder, name, bucket):
    names = ("src/cache.py", "src/http.go", "README.md", ".gitignore", "noise.log")
    put(bucket, folder, *names)
    uri = f"{bucket}/docs"
    first = sender.wait(sender.index([uri], collection=name))
    local = sender.wait(sender.index([folder], collection=f"{name}-local"))
    assert (first.files_changed, first.skipped, first.chunks) == (4, {"ignored": 1}, local.chunks)
    assert collection(sender, name).source == uri
    again = sender.wait(sender.index([f"{uri}/"], collection=name))
    assert (again.files_unchanged, again.generation) == (4, 1)
    (folder / "README.md").write_text("# Zebra crossing\n")
    put(bucket, folder, "README.md")
    obstore.delete(open_store(bucket), "docs/src/http.go")
    edited = sender.wait(sender.index([uri], collection=name))
    assert (edited.files_changed, edited.files_unchanged, edited.files_removed) == (1, 2, 1)
    assert paths(sender, name, "zebra") == ["README.md"]
    one = sender.wait(sender.index([f"{uri}/src/cache.py"], collection=name))
    assert (one.files_total, one.files_unchanged) == (1, 1)


def test_an_empty_prefix_has_nothing_to_index(sender, name, bucket):
    with pytest.raises(InvalidRequest, match=f"nothing to index in {bucket}/none"):
        sender.wait(sender.index([f"{bucket}/none"], collection=name))


def test_another_revision_brings_a_repositorys_collection_up_to_date(
    sender, folder, name, remote, tmp_path
):
    first = commit(folder, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "clone", "--quiet", "--bare", str(folder), "origin.git")
    (folder / "README.md").write_text("# Zebra crossing\n")
    (folder / "src/http.go").unlink()
    second = commit(folder, "checkout", "--quiet", "-b", "next")
    git(folder, "push", "--quiet", str(tmp_path / "origin.git"), "next")
    address = f"git+file://{tmp_path}/origin.git"
    made = sender.wait(sender.index([f"{address}@main"], collection=name))
    assert made.files_changed == 4
    assert collection(sender, name).source == f"{address}@main#{first}"
    moved = sender.wait(sender.index([f"{address}@next"], collection=name))
    assert (moved.files_changed, moved.files_unchanged, moved.files_removed) == (1, 2, 1)
    assert collection(sender, name).source == f"{address}@next#{second}"
    same = sender.wait(sender.index([f"{address}@{second}"], collection=name))
    assert (same.files_changed, same.chunks) == (0, 0)
    with pytest.raises(NotFound, match="has no revision 'gone'"):
        sender.wait(sender.index([f"{address}@gone"], collection=name))
    assert collection(sender, name).source == f"{address}@{second}#{second}"
    until(lambda: spools(remote) == [])


def commit(folder, *before):
    git(folder, *before)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=x")
    return git(folder, "rev-parse", "HEAD")
