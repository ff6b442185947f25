"""Backup and restore as a person does them, through a gateway."""

import json
from pathlib import Path

import pytest
from command import run_shoal

from actors.errors import Conflict, CorruptData, InvalidRequest, NotFound


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "place")


@pytest.fixture
def name(tmp_path):
    return tmp_path.name.lower()[:40]


@pytest.fixture
def indexed(shoal, folder, name):
    shoal.wait(shoal.index([folder], collection=name))
    return name


def paths(shoal, query, *collections):
    found = shoal.search(query, mode="lexical", collections=collections)
    return [(hit.collection, hit.path) for hit in found.hits]


def test_a_collection_comes_back_as_it_was_beside_what_became_of_it(
    shoal, indexed, folder, place, name
):
    job = shoal.wait(shoal.backup(indexed, to=place))
    assert (job.kind, job.generation, job.files_unchanged) == ("backup", 1, 0)
    assert job.files_changed == job.files_done == job.files_total > 10
    assert job.id in {each.id for each in shoal.jobs()}
    (folder / "src" / "cache.py").unlink()
    (folder / "new.md").write_text("# Zebra\n")
    shoal.wait(shoal.index([folder], collection=indexed))
    later = shoal.wait(shoal.backup(indexed, to=place))
    assert 0 < later.files_changed < later.files_total
    assert [(b.collection, b.generation) for b in shoal.backups(place)] == [(name, 1), (name, 2)]

    old, new = f"{name}-old", f"{name}-new"
    restored = shoal.wait(shoal.restore(indexed, source=place, name=old, generation=1))
    assert (restored.kind, restored.collection, restored.generation) == ("restore", old, 1)
    assert paths(shoal, "evict", old) == [(old, "src/cache.py")]
    assert paths(shoal, "zebra", old) == paths(shoal, "evict", indexed) == []
    shoal.wait(shoal.restore(indexed, source=place, name=new))
    assert paths(shoal, "zebra", new) == [(new, "new.md")]
    assert paths(shoal, "evict", new) == []
    both = shoal.search("Install Windows", collections=[old, new])  # ids of the two are apart
    assert {hit.collection for hit in both.hits if hit.path == "README.md"} == {old, new}
    for each in (old, new):
        assert shoal.verify(each).findings == ()


def test_one_that_exists_is_replaced_on_request_alone_and_can_be_gone_back_to(
    shoal, indexed, folder, place
):
    shoal.wait(shoal.backup(indexed, to=place))
    (folder / "new.md").write_text("# Zebra\n")
    shoal.wait(shoal.index([folder], collection=indexed))
    with pytest.raises(Conflict, match="exists; restore under another name with --as, or"):
        shoal.restore(indexed, source=place)
    job = shoal.wait(shoal.restore(indexed, source=place, replace=True))
    assert job.generation == 3
    assert paths(shoal, "zebra", indexed) == []
    shoal.rollback(indexed, 2)
    assert paths(shoal, "zebra", indexed) == [(indexed, "new.md")]


def test_a_deleted_one_comes_back(shoal, indexed, place):
    shoal.wait(shoal.backup(indexed, to=place))
    shoal.delete(indexed)
    assert shoal.wait(shoal.restore(indexed, source=place)).generation == 3
    assert paths(shoal, "evict", indexed) == [(indexed, "src/cache.py")]


def test_a_damaged_backup_is_named_and_changes_nothing(shoal, indexed, place, name):
    shoal.wait(shoal.backup(indexed, to=place))
    file = next(Path(place).glob("segments/*/files.arrow"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptData, match=r"segments/\w+/files\.arrow in .* not what was written"):
        shoal.wait(shoal.restore(indexed, source=place, name=f"{name}-2"))
    with pytest.raises(NotFound):
        shoal.history(f"{name}-2")


def test_what_cannot_be_is_refused_with_the_reason(shoal, indexed, place, gateway):
    with pytest.raises(NotFound, match="there is no folder"):
        shoal.backups(place)
    with pytest.raises(NotFound, match="no collection 'nobody'"):
        shoal.backup("nobody", to=place)
    with pytest.raises(InvalidRequest, match="own root"):
        shoal.backup(indexed, to=gateway.root)
    with pytest.raises(InvalidRequest, match=r"^to: "):
        shoal.backup(indexed, to="relative/folder")
    shoal.wait(shoal.backup(indexed, to=place))
    with pytest.raises(NotFound, match="no backup of 'nobody'; it holds: "):
        shoal.restore("nobody", source=place)


def test_from_the_command_line(gateway, indexed, tmp_path, name):
    def run(*args):
        return run_shoal(*args, "--root", gateway.root, cwd=tmp_path)

    done = run("backup", indexed, "--to", "kept")
    assert f"{indexed}: generation 1 is in {tmp_path}/kept: " in done.stdout, done.stderr
    assert run("restore", "--from", "kept").returncode == 1
    listed = json.loads(run("restore", "--from", "kept", "--list", "--json").stdout)
    assert [backup["collection"] for backup in listed] == [indexed]
    done = run("restore", "--from", "kept", "--as", f"{name}-2", "--json")
    assert json.loads(done.stdout)[0]["collection"] == f"{name}-2", done.stderr
    assert run("restore", "--as", "x").returncode == 2
