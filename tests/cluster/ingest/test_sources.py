"""Files come from folders and object stores by one way: the same files, skips and chunks."""

import os
import urllib.request

import obstore
import pytest

from actors.catalog import Manifest
from actors.choice import Choice
from actors.engines.base import Fingerprint
from actors.errors import StorageError
from actors.storage import open_store
from cluster.ingest.pipeline import blocks_of_files, read_block
from cluster.ingest.sources import find_files, read_bytes
from cluster.ingest.stored import is_object
from cluster.ingest.walk import WalkLimits

LIMITS = WalkLimits(max_file_bytes=400)
TREE = {
    "README.md": b"# Manual\n\nHow to install.\n",
    "src/cache.py": b"def evict(entries):\n    entries.pop()\n",
    "src/deep/er/a b#c?%20.go": b"package http\n\nfunc Parse() string {\n\treturn line\n}\n",
    "src/deep/\xe9.md": "# Café\n".encode("utf-16"),
    "src/deep.md": b"# Beside a folder of almost its name\n",
    ".gitignore": b"\xef\xbb\xbf*.log\n/build/\n!kept.log\n",
    "noise.log": b"not indexed\n",
    "kept.log": b"indexed\n",
    "build/out.txt": b"not indexed\n",
    "src/build/in.txt": b"indexed\n",
    "src/.shoalignore": b"/deep/er/*.tmp\nsecret*\n",
    "src/deep/er/x.tmp": b"not indexed\n",
    "src/deep/er/secret.md": b"not indexed\n",
    "src/deep/er/.gitignore": b"!secret.md\n",
    "node_modules/x.js": b"not indexed\n",
    ".git/info/exclude": b"excluded.md\n",
    ".git/config": b"never\n",
    "excluded.md": b"not indexed\n",
    "logo.png": b"\x89PNG",
    "nul.dat": b"text\0more",
    "empty.py": b"",
    "blank.txt": b" \n",
    "big.txt": b"x" * 401,
    "brim.txt": b"x" * 400,
}


@pytest.fixture
def local(tmp_path):
    for name, data in TREE.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    return str(tmp_path / "tree")


@pytest.fixture
def prefix(bucket):
    """The same tree as objects, with a neighbour of almost its name, and markers of folders."""
    store = open_store(bucket)
    for name, data in TREE.items():
        obstore.put(store, f"a tree/{name}", data)
    obstore.put(store, "a tree too/other.md", b"# Other\n")
    return f"{bucket}/a tree"


def read(root, scopes=("",)):
    """Return all that indexing would take from a source, and what it would leave out."""
    model = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)
    found = find_files(root, scopes, LIMITS)
    base = Manifest("c", 0, model, ((), ()))
    chunks, skipped = [], found.skipped
    for block in blocks_of_files(base, root, found.files, {}, LIMITS.max_file_bytes):
        summary, cut = read_block(block)
        skipped.update(summary.skipped)
        chunks.append((block.shard, summary.changed, cut.table.to_pylist()))
    return found.files, skipped, chunks


@pytest.mark.parametrize(
    "scopes",
    [("",), ("src",), ("src/deep/er", "README.md"), ("noise.log", "build"), ("src", "src/deep")],
)
def test_a_folder_and_a_prefix_of_the_same_tree_are_indexed_alike(local, prefix, scopes):
    assert read(prefix, scopes) == read(local, scopes)


def test_what_is_indexed_of_the_tree_is_what_its_rules_say(prefix):
    files, skipped, _ = read(prefix)
    assert [file.path for file in files][:5] == [
        ".gitignore",
        "README.md",
        "blank.txt",
        "brim.txt",
        "empty.py",
    ]
    assert {file.path for file in files} >= {"kept.log", "src/build/in.txt", "src/deep/é.md"}
    assert "src/deep/er/secret.md" in {file.path for file in files}
    assert skipped == {"ignored": 5, "binary": 2, "too large": 1, "empty": 2}


def test_a_choice_takes_the_same_of_both(local, prefix):
    choice = Choice(include=("src/", "*.md"), exclude=("er/",))
    of_folder, of_store = (find_files(root, ("",), LIMITS, choice) for root in (local, prefix))
    assert (of_store.files, of_store.skipped) == (of_folder.files, of_folder.skipped)
    paths = [file.path for file in of_store.files]
    assert paths == [
        "README.md",
        "src/.shoalignore",
        "src/cache.py",
        "src/deep.md",
        "src/build/in.txt",
        "src/deep/\xe9.md",
    ]


def test_markers_of_folders_are_no_files(prefix, bucket):
    before = read(prefix)
    http = os.environ["AWS_ENDPOINT"] + "/" + bucket.removeprefix("s3://")
    for folder in ("src/", "src/deep/", "hollow/"):
        request = urllib.request.Request(f"{http}/a%20tree/{folder}", b"", method="PUT")
        urllib.request.urlopen(request).close()
    files, skipped, chunks = read(prefix)
    assert chunks == before[2]
    assert {file.path for file in files} - {file.path for file in before[0]} == {"hollow"}
    assert skipped - before[1] == {"empty": 1}


def test_no_more_than_the_limit_is_read_of_what_grew(local, prefix):
    for root in (local, prefix):
        assert read_bytes(root, "brim.txt", 10) == b"x" * 10
        assert read_bytes(root, "empty.py", 10) == b""
        with pytest.raises(FileNotFoundError):
            read_bytes(root, "no/such", 10)


def test_a_scope_that_is_gone_has_no_files(local, prefix):
    for root in (local, prefix):
        assert find_files(root, ("no-such",), LIMITS).files == []


def test_an_empty_prefix_has_no_files(bucket):
    assert read(f"{bucket}/none") == ([], {}, [])


def test_an_object_is_told_from_a_prefix(prefix, bucket):
    uris = [f"{prefix}/README.md", f"{prefix}/src", prefix, bucket]
    assert list(map(is_object, uris)) == [True, False, False, False]


@pytest.mark.parametrize(
    ("uri", "said"),
    [("s3://no-such-bucket/x", "NoSuchBucket|404"), ("nonsense://x", "Unable to recognise")],
)
def test_a_store_that_is_not_there_is_named_with_a_way_out(bucket, uri, said):
    with pytest.raises(StorageError, match=f"{uri}: .*({said}).*; check the address"):
        find_files(uri, ("",), LIMITS)


def test_a_store_that_does_not_answer_fails_and_loses_no_file(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    uri = f"{bucket}/unreachable"
    with pytest.raises(StorageError, match="check the address, and the credentials"):
        find_files(uri, ("",), LIMITS)
    with pytest.raises(StorageError, match=f"cannot read {uri}/a.md"):
        read_bytes(uri, "a.md", 10)
