"""Include and exclude through a real gateway: remembered, changed, and refused for a part."""

import json

import pytest
from command import run_shoal

from actors.errors import InvalidRequest
from cluster.client import ShoalClient

NAME = "taken"


@pytest.fixture
def held(shoal):
    """Return what tells which paths the collection holds."""

    def paths():
        found = shoal.search("evict install cookie", collections=[NAME], limit=50).hits
        return {hit.path for hit in found}

    yield paths
    shoal.delete(NAME)


def test_a_collection_keeps_to_what_it_was_told_to_take(shoal, gateway, folder, held):
    chosen = {"include": ["src/", "*.md"], "exclude": ["*.go"]}
    first = shoal.wait(shoal.index([folder], collection=NAME, **chosen))
    assert held() == {"src/cache.py", "README.md"}
    assert first.skipped == {"ignored": 1, "excluded": 1, "not included": 1}

    (folder / "src" / "new.go").write_text("package http // evict\n")
    (folder / "src" / "new.py").write_text("def evict_all(): ...\n")
    later = shoal.wait(shoal.index([folder]))  # found by its source
    assert (later.collection, later.files_changed, later.files_removed) == (NAME, 1, 0)
    named = shoal.wait(shoal.index([folder / "src" / "new.go"], collection=NAME))
    assert (named.files_changed, named.skipped) == (0, {"excluded": 1})
    assert held() == {"src/cache.py", "src/new.py", "README.md"}

    (listed,) = (c for c in shoal.collections() if c.name == NAME)
    assert (listed.include, listed.exclude) == (("src/", "*.md"), ("*.go",))
    assert shoal.watching(NAME, watcher="t", behind_s=0, source="/x").choice == listed.choice

    with pytest.raises(InvalidRequest, match="those of a whole collection"):
        shoal.index([folder / "src"], collection=NAME, include=["*.py"])
    same = shoal.wait(shoal.index([folder / "src"], collection=NAME, **chosen))
    assert same.generation == later.generation

    own = ("--collection", NAME, "--root", gateway.root, "--json")
    done = run_shoal("index", str(folder), *own, "--include", "*.go")
    assert json.loads(done.stdout)["files_removed"] == 3
    assert held() == {"src/http.go", "src/new.go"}
    everything = shoal.wait(shoal.reindex(collection=NAME, include=["*"]))
    assert everything.files_changed == 4
    assert held() >= {"src/http.go", "src/cache.py", "README.md"}


@pytest.fixture
def sender(gateway):
    with ShoalClient(root=gateway.root) as client:
        yield client


def test_a_folder_that_is_sent_is_narrowed_by_the_gateway(sender, folder, held):
    first = sender.wait(sender.upload(folder, collection=NAME, include=["*.md"]))
    assert (first.files_changed, first.skipped) == (1, {"ignored": 1, "not included": 3})
    again = sender.wait(sender.upload(folder / "src", collection=NAME))
    assert (again.files_total, again.generation) == (0, first.generation)
    assert held() == {"README.md"}
