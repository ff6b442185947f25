"""What a client sends is taken where it is a folder, and nothing else is written anywhere."""

import json
import re
from dataclasses import replace

import pytest
from pydantic import ValidationError

from actors.catalog import Catalog
from actors.choice import Choice
from actors.engines.base import Fingerprint
from actors.errors import InvalidRequest, LimitExceeded
from actors.storage import Storage
from cluster.ingest.walk import FoundFile
from cluster.naming import Target
from cluster.protocol import ClientFolder
from cluster.received import Received, lacking, target_and_prefix

HASH = "d732c6be860e019351f99173fa6ae612"  # blake2b of "text", 16 bytes
LIMIT = 100_000
MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)


def line(**fields):
    return json.dumps(fields).encode() + b"\n"


def file(path, data=b"text", **other):
    return line(**{"path": path, "hash": HASH, "size": len(data), "sent": True, **other}) + data


def end(files=1):
    return line(files=files, skipped={"ignored": 2})


async def cut(body, size):
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def take(spool, body, size=1 << 16, scopes=("",), prefix=""):
    spool.mkdir(exist_ok=True)
    received = Received(spool, Target("c", "client://h/x", scopes), prefix, LIMIT)
    await received.take(cut(body, size))
    return received


def written(spool):
    return {str(p.relative_to(spool)): p.read_bytes() for p in spool.rglob("*") if p.is_file()}


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 16])
async def test_a_folder_is_taken_however_its_bytes_are_cut(tmp_path, size):
    kept = line(path="kept.md", hash=HASH, size=9)
    body = file("a/b.md") + kept + file("c.md") + end(3)
    received = await take(tmp_path / "spool", body, size)
    assert written(tmp_path / "spool") == {"a/b.md": b"text", "c.md": b"text"}
    found = received.find()
    assert found.files == [FoundFile("a/b.md", 4), FoundFile("c.md", 4)]
    assert (found.skipped, found.unchanged) == ({"ignored": 2}, {"kept.md": HASH})


async def test_what_the_collection_does_not_take_is_neither_asked_for_nor_found(tmp_path):
    storage = Storage(str(tmp_path / "root"))
    catalog = Catalog(storage)
    only = Choice(include=("a/*.md",))
    catalog.publish(replace(catalog.new("c", MODEL, 1, "client://h/x"), choice=only))

    async def described():
        for path in ("b.md", "c.py"):
            yield line(path=path, hash=HASH, size=4).decode()

    part = ClientFolder(folder="client://h/x/a")
    assert (await lacking(catalog, storage, part, described())).paths == ("b.md",)

    body = file("a/b.md") + line(path="a/c.py", hash=HASH, size=4) + end(2)
    found = (await take(tmp_path / "spool", body)).find(only)
    assert (found.files, found.unchanged) == ([FoundFile("a/b.md", 4)], {})
    assert found.skipped == {"ignored": 2, "not included": 1}


async def test_a_part_of_a_folder_comes_under_its_way_from_the_root(tmp_path):
    received = await take(tmp_path / "spool", file("b.md") + end(), scopes=("a",), prefix="a")
    assert received.find().files == [FoundFile("a/b.md", 4)]


@pytest.mark.parametrize(
    "path",
    ["/etc/x", "../x", "a/../../x", "a/..", "a//b", "./a", "a/", "", "a\0b", ".git/x", "a/.git/b"],
)
async def test_a_path_that_leads_elsewhere_is_refused(tmp_path, path):
    with pytest.raises(InvalidRequest, match=r"is no path below|describes no file"):
        await take(tmp_path / "spool", file(path) + end())
    assert written(tmp_path) == {}


MALFORMED = [
    (b"", "did not come whole"),
    (file("a"), "did not come whole"),
    (file("a")[:-2], "did not come whole"),
    (file("a") + end(2), "did not come whole"),
    (file("a") + end() + file("b"), "something follows the last line"),
    (file("a") + file("a") + end(2), "comes twice"),
    (file("a") + file("a/b") + end(2), "cannot be a file here"),
    (file("x" * 300) + end(), "cannot be a file here"),
    (file("a", b"TEXT") + end(), "came damaged"),
    (file("a", b"", hash=HASH) + end(), "came damaged"),
    (line(path="a", hash="../../x", size=4), "hash"),
    (line(path="a", hash=HASH, size=-1), "size"),
    (line(path="x" * 5000, hash=HASH, size=4), "path"),
    (line(path="a", hash=HASH, size=4, mode="0777"), "describes no file"),
    (b"no json\n", "describes no file"),
    (b"x" * LIMIT, "a line is over"),
    (file("a", size=LIMIT + 1), f"SHOAL_MAX_FILE_BYTES={LIMIT}"),
    (file("elsewhere/a") + end(), "none of the files"),
]


@pytest.mark.parametrize(("body", "said"), MALFORMED)
async def test_what_is_no_folder_is_refused_with_what_is_wrong(tmp_path, body, said):
    with pytest.raises((InvalidRequest, LimitExceeded), match=re.escape(said)):
        await take(tmp_path / "spool", body, scopes=("a", "b", "x" * 300, "x" * 5000))


@pytest.mark.parametrize(
    "folder",
    ["/abs", "s3://bucket/x", "client://", "client://h/a\nb", "client://h//x", "client://h/x/"],
)
def test_a_folder_that_is_no_clients_is_none(folder):
    with pytest.raises(ValidationError):
        ClientFolder(folder=folder)


def test_a_folder_below_a_clients_source_is_part_of_it_and_another_clients_is_not(tmp_path):
    catalog = Catalog(Storage(str(tmp_path)))
    catalog.publish(catalog.new("mine", MODEL, 1, "client://h/home/me"))
    part = ClientFolder(folder="client://h/home/me/src", scopes=("a", "b"))
    target = Target("mine", "client://h/home/me", ("src/a", "src/b"))
    assert target_and_prefix(catalog, part) == (target, "src")
    other = ClientFolder(folder="client://i/home/me")
    assert target_and_prefix(catalog, other)[0].collection == "me"
    with pytest.raises(InvalidRequest, match="holds client://h/home/me, and not client://i/home"):
        target_and_prefix(catalog, other.model_copy(update={"collection": "mine"}))
    for hostile in ("client://h/../x", "client://h/./x"):
        with pytest.raises(InvalidRequest, match="is no path"):
            target_and_prefix(catalog, ClientFolder(folder=hostile))
