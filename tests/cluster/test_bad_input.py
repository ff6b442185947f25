"""Bad input is refused or counted, and what was indexed stays as it was."""

import asyncio
import os
import shutil
import subprocess
from contextlib import contextmanager

import httpx2
import pytest
from command import run_shoal

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import (
    Conflict,
    InvalidRequest,
    ModelMismatch,
    NotFound,
    ShoalError,
    StorageError,
)
from actors.storage import Storage
from cluster.client import AsyncShoalClient
from cluster.daemon import Rooms
from cluster.protocol import IngestChunk

UNPRIVILEGED = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts and other users take root")


def collection(shoal, name):
    return {c.name: c for c in shoal.collections()}.get(name)


@contextmanager
def mounted(folder, *options):
    """A small file system of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_an_empty_folder_is_refused(shoal, tmp_path):
    with pytest.raises(InvalidRequest, match="nothing to index in"):
        shoal.wait(shoal.index([tmp_path], collection="empty"))
    assert collection(shoal, "empty") is None


def test_a_folder_that_lost_all_its_files_does_not_empty_its_collection(shoal, folder):
    shoal.wait(shoal.index([folder], collection="lost"))
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(InvalidRequest, match="shoal delete lost"):
        shoal.wait(shoal.index([folder], collection="lost"))
    assert collection(shoal, "lost").generation == 1


def test_files_that_cannot_be_text_are_counted_by_reason(shoal, folder):
    (folder / "zero.py").write_bytes(b"")
    (folder / "line.txt").write_bytes(b"x" * 10_000_000)
    (folder / "latin.txt").write_bytes("caf\xe9 zebrafish\n".encode("latin-1"))
    (folder / "picture.dat").write_bytes(b"\x89PNG\0\0\0")
    job = shoal.wait(shoal.index([folder], collection="odd"))
    skipped = dict(job.skipped)
    assert skipped == {"empty": 1, "too large": 1, "binary": 1, "ignored": 1}
    (hit,) = shoal.search("zebrafish", mode="lexical", collections=["odd"]).hits
    assert hit.path == "latin.txt"


def test_an_unknown_collection_is_refused_with_those_there_are(shoal, folder):
    shoal.wait(shoal.index([folder], collection="known"))
    with pytest.raises(NotFound, match=r"no collection 'unknown'; there are: .*known"):
        shoal.search("x", collections=["unknown"])


def test_a_collection_of_another_model_says_what_to_do(shoal, gateway, folder):
    other = Fingerprint("static", "f" * 16, "int8", "mean", "", "", 256)
    catalog = Catalog(Storage(gateway.root))
    catalog.publish(catalog.new("other-model", other, 2, str(folder)))
    with pytest.raises(
        ModelMismatch, match=r"put the old files back, .*, or search with mode lexical"
    ):
        shoal.search("x", collections=["other-model"])
    with pytest.raises(
        ModelMismatch, match="index into another --collection, or `shoal delete other-model`"
    ):
        shoal.index([folder], collection="other-model")
    assert collection(shoal, "other-model").generation == 1


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "limit": 10_000}, "limit"),
        ({"query": "x" * 1_000_000}, "query: String should have at most"),
        ({"query": ""}, "the query is empty"),
        ({"query": "x", "mode": "psychic"}, "mode"),
        ({"query": "x", "paths": ["!*.md"]}, "no glob that paths match"),
        ({"query": "x", "paths": [""]}, "no glob that paths match"),
        ({"query": "x", "exclude_paths": ["!*.md"]}, "no glob that paths match"),
        ({"query": "x", "offset": -1}, "offset"),
        ({"query": "x", "offset": 991}, "over 1000 together"),
        ({"query": "x", "vector": [float("nan")] * 256}, "finite"),
    ],
)
def test_a_search_that_cannot_be_is_refused(shoal, wanted, said):
    with pytest.raises(InvalidRequest, match=said):
        shoal.search(**wanted)


@pytest.fixture
def http(shoal):
    """Yield a client that sends whatever it is given."""
    shoal.status()
    endpoint = shoal._endpoint()
    transport = httpx2.HTTPTransport(uds=endpoint.socket)
    with httpx2.Client(
        transport=transport, base_url=endpoint.url, headers=endpoint.headers, timeout=60
    ) as client:
        yield client


def test_a_request_over_the_wire_is_checked_as_the_clients_are(http):
    for body in ({"query": "x", "limit": 0}, {"query": "x" * 1_000_000}, {"nonsense": 1}, []):
        answer = http.post("/v1/search", json=body)
        assert (answer.status_code, answer.json()["error"]) == (422, "InvalidField")
    assert http.post("/v1/search", content=b"x" * 9_000_000).status_code == 413
    assert http.post("/v1/search", content=b"{").status_code == 400
    for path in ("/v1/status", "/openapi.json"):
        assert http.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"not json\n", "line 1"),
        (b'{"path": "a"}\n', "line 1: text: Field required"),
        (
            b'{"path": "a", "text": "b", "vector": {"data": "?"}}\n',
            "line 1: a vector must be base64",
        ),
        (b'{"path": "a", "text": "b", "start_line": 2147483648}\n', "line 1: start_line: Input"),
        (b'{"path": "a", "text": "b", "end_line": 2147483648}\n', "line 1: end_line: Input"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"", "no chunks were given"),
        (b'{"path": "a", "text": "' + b"x" * 2_000_000 + b'"}\n', "line"),
    ],
)
def test_a_bad_upload_publishes_nothing(shoal, http, line, said):
    answer = http.post("/v1/ingest", params={"collection": "bad-upload"}, content=line)
    assert answer.status_code in {400, 413}
    assert said in answer.json()["message"]
    assert collection(shoal, "bad-upload") is None


async def test_of_two_writers_one_wins_and_the_other_is_told(gateway):
    chunks = [IngestChunk(path=f"{n}", text=f"text {n}") for n in range(50)]
    async with AsyncShoalClient(root=gateway.root) as shoal:
        both = [shoal.ingest(chunks, collection="contested") for _ in range(2)]
        first, second = await asyncio.gather(*both, return_exceptions=True)
    replies = sorted((first, second), key=lambda r: isinstance(r, ShoalError))
    assert replies[0].generation == 1
    assert isinstance(replies[1], Conflict)
    assert "run this again" in str(replies[1])


@needs_root
def test_a_full_disk_is_named_and_leaves_the_index_as_it_was(shoal, gateway, folder, root):
    with mounted(root / "collections" / "full", "size=300k"):
        job = shoal.wait(shoal.index([folder], collection="full"))
        (folder / "more.txt").write_text("\n".join(f"line {n} zebra" for n in range(40_000)))
        with pytest.raises(StorageError, match="no space is left there"):
            shoal.wait(shoal.index([folder], collection="full"))
        assert collection(shoal, "full").generation == job.generation
        found = shoal.search("evict", mode="lexical", collections=["full"])
        assert [hit.path for hit in found.hits] == ["src/cache.py"]
        assert found.coverage == 1.0


@needs_root
def test_a_collection_on_a_read_only_mount_is_searched_and_not_written(shoal, folder, root):
    shoal.wait(shoal.index([folder], collection="frozen"))
    place = root / "collections" / "frozen"
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        (folder / "new.md").write_text("# New\n")
        with pytest.raises(StorageError, match="not writable for this user"):
            shoal.wait(shoal.index([folder], collection="frozen"))
        assert shoal.search("evict", collections=["frozen"]).coverage == 1.0
        assert collection(shoal, "frozen").generation == 1
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@needs_root
def test_one_who_cannot_read_or_write_all_gets_clear_errors_and_counted_skips(folder, tmp_path):
    """As root without its privilege over files, which is what any other user is."""
    (folder / "src/cache.py").chmod(0)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    refused = run_shoal("up", "--root", str(locked / "root"), before=UNPRIVILEGED)
    assert refused.returncode == 1
    assert "not writable for this user" in refused.stderr
    own = ("--root", str(tmp_path / "root"))
    try:
        done = run_shoal("index", str(folder), *own, before=UNPRIVILEGED)
        assert (done.returncode, done.stderr) == (0, "")
        assert "skipped: 1 ignored, 1 unreadable" in done.stdout
    finally:
        run_shoal("down", *own)


def test_a_name_is_never_cut_where_an_address_would_be(shoal, folder):
    shoal.wait(shoal.index([folder], collection="docs"))
    with pytest.raises(InvalidRequest, match="cannot name a collection"):
        shoal.delete("docs#old")
    assert collection(shoal, "docs") is not None


def test_there_must_be_as_many_vectors_as_chunks(shoal):
    chunks = [IngestChunk(path=f"{n}", text="x") for n in range(3)]
    for vectors in ([[1.0]] * 2, [[1.0]] * 4):
        with pytest.raises(InvalidRequest, match="as many vectors as chunks"):
            shoal.ingest(chunks, vectors, collection="uneven")
    assert collection(shoal, "uneven") is None


def test_which_of_several_collections_is_meant_is_asked(shoal, folder):
    for name in ("one", "another"):
        shoal.wait(shoal.index([folder], collection=f"{name}-of-two"))
    with pytest.raises(InvalidRequest, match="another-of-two, one-of-two all hold"):
        shoal.index([folder])
    for name in ("one", "another"):
        shoal.delete(f"{name}-of-two")


def test_a_roots_own_files_and_tokens_are_not_indexed(shoal, gateway, root):
    for own in (root, Rooms(gateway).folder.parent):
        with pytest.raises(InvalidRequest, match="nothing to index"):
            shoal.wait(shoal.index([own], collection="own-files"))
