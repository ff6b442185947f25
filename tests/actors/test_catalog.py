"""Publishing: one of two writers wins, a killed one leaves nothing visible, deletion is final."""

import json
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from actors.catalog import Catalog, check_name
from actors.choice import Choice
from actors.engines.base import Fingerprint
from actors.errors import Conflict, CorruptData, InvalidRequest, NotFound
from actors.messages import SegmentRef
from actors.retention import Cleaner
from actors.storage import Storage

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 256)
NO_GRACE = timedelta(0)


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "root"))


@pytest.fixture
def catalog(storage):
    return Catalog(storage)


@pytest.fixture
def cleaner(storage):
    return Cleaner(storage)


def with_segments(manifest, *segments):
    return replace(manifest, shards=(tuple(segments), ()))


def test_generations_are_numbered_from_one_and_the_newest_is_served(catalog):
    first = catalog.publish(catalog.new("docs", MODEL, 2, "/src"))
    second = catalog.publish(with_segments(first, SegmentRef("a", 10, 100)))
    assert (first.generation, second.generation) == (1, 2)
    assert catalog.get("docs") == second


def test_of_two_writers_on_one_base_one_wins_and_the_other_is_told(catalog):
    base = catalog.publish(catalog.new("docs", MODEL, 2, "/src"))
    winner = catalog.publish(replace(base, writer="first"))
    with pytest.raises(Conflict, match=r"another writer changed collection 'docs'.*run this again"):
        catalog.publish(replace(base, writer="second"))
    assert catalog.get("docs") == winner


def test_a_manifest_from_before_choices_takes_everything(catalog, storage):
    made = catalog.publish(replace(catalog.new("docs", MODEL, 2, "/src"), choice=Choice(("*.md",))))
    assert catalog.get("docs") == made
    name = "collections/docs/manifests/00000001.json"
    older = json.loads(storage.read(name))
    del older["choice"]
    storage.put(name, json.dumps(older).encode())
    assert catalog.get("docs") == replace(made, choice=Choice())


def test_statistics_count_living_chunks_only(catalog):
    refs = (SegmentRef("a", 10, 100), SegmentRef("b", 5, 50, "t", 2, 20))
    manifest = with_segments(catalog.new("docs", MODEL, 2, ""), *refs)
    assert (manifest.chunks, manifest.total_length) == (13, 130)


def test_a_deleted_collection_is_gone_and_a_late_writer_cannot_bring_it_back(catalog, storage):
    base = catalog.publish(catalog.new("docs", MODEL, 2, "/src"))
    storage.put("collections/docs/segments/a/files.arrow", b"x")
    catalog.delete("docs")
    assert catalog.names() == []
    assert storage.names("collections/docs/segments") == []
    with pytest.raises(Conflict):
        catalog.publish(base)
    with pytest.raises(NotFound):
        catalog.delete("docs")


def overtake(catalog, monkeypatch, times):
    """Have another writer publish just before each of the next `times` publications."""
    publish, left = catalog.publish, [times]

    def overtaken(manifest):
        if left[0]:
            left[0] -= 1
            publish(catalog.get(manifest.collection))
        return publish(manifest)

    monkeypatch.setattr(catalog, "publish", overtaken)


def test_a_merge_that_is_published_meanwhile_does_not_hinder_a_deletion(catalog, monkeypatch):
    catalog.publish(catalog.new("docs", MODEL, 2, "/src"))
    overtake(catalog, monkeypatch, times=2)
    catalog.delete("docs")
    assert catalog.names() == []


def test_a_deletion_that_is_always_overtaken_gives_up(catalog, monkeypatch):
    catalog.publish(catalog.new("docs", MODEL, 2, "/src"))
    overtake(catalog, monkeypatch, times=1_000)
    with pytest.raises(Conflict, match="another writer changed"):
        catalog.delete("docs")
    assert catalog.names() == ["docs"]


def test_a_name_can_be_used_again_after_a_deletion(catalog):
    catalog.publish(catalog.new("docs", MODEL, 2, "/old"))
    catalog.delete("docs")
    again = catalog.publish(catalog.new("docs", MODEL, 4, "/new"))
    assert again.generation == 3
    assert catalog.get("docs").source == "/new"


def test_what_a_killed_writer_left_is_removed_and_what_is_named_stays(catalog, cleaner, storage):
    for segment in ("named", "orphan"):
        storage.put(f"collections/docs/segments/{segment}/files.arrow", b"x")
        storage.put(f"collections/docs/tombstones/{segment}/rows.npy", b"x")
    ref = SegmentRef("named", 1, 1, "named", 1, 1)
    catalog.publish(with_segments(catalog.new("docs", MODEL, 2, ""), ref))
    assert cleaner.remove_orphans("docs", timedelta(hours=1)) == []
    removed = cleaner.remove_orphans("docs", NO_GRACE)
    assert removed == ["collections/docs/segments/orphan", "collections/docs/tombstones/orphan"]
    assert storage.names("collections/docs/segments") == ["named"]


class Killed(Exception):
    """The process ended here."""


@pytest.fixture
def half_deleted(catalog, storage, monkeypatch):
    """A collection whose deletion was published and died before its files were removed."""

    def die(_folder):
        raise Killed

    storage.put("collections/docs/segments/old/files.arrow", b"x")
    storage.put("collections/docs/tombstones/dead/rows.npy", b"x")
    ref = SegmentRef("old", 2, 2, "dead", 1, 1)
    catalog.publish(with_segments(catalog.new("docs", MODEL, 2, ""), ref))
    with monkeypatch.context() as halfway:
        halfway.setattr(storage, "delete", die)
        with pytest.raises(Killed):
            catalog.delete("docs")


@pytest.mark.usefixtures("half_deleted")
def test_what_a_killed_deletion_left_is_removed_after_the_grace(catalog, cleaner):
    assert catalog.names() == []
    assert cleaner.remove_orphans("docs", timedelta(hours=1)) == []
    removed = cleaner.remove_orphans("docs", NO_GRACE)
    assert removed == ["collections/docs/segments/old", "collections/docs/tombstones/dead"]


@pytest.mark.usefixtures("half_deleted")
def test_what_was_created_after_a_killed_deletion_stays(catalog, cleaner, storage):
    storage.put("collections/docs/segments/new/files.arrow", b"x")
    storage.put("collections/docs/segments/newest/files.arrow", b"x")
    first = catalog.publish(
        with_segments(catalog.new("docs", MODEL, 2, ""), SegmentRef("new", 1, 1))
    )
    catalog.publish(with_segments(first, SegmentRef("newest", 1, 1)))
    cleaner.remove_orphans("docs", NO_GRACE)
    assert storage.names("collections/docs/segments") == ["new", "newest"]
    assert storage.names("collections/docs/tombstones") == []


def test_a_segment_of_an_older_generation_is_no_orphan(catalog, cleaner, storage):
    storage.put("collections/docs/segments/old/files.arrow", b"x")
    first = catalog.publish(
        with_segments(catalog.new("docs", MODEL, 2, ""), SegmentRef("old", 1, 1))
    )
    catalog.publish(with_segments(first))
    assert cleaner.remove_orphans("docs", NO_GRACE) == []


def test_a_truncated_manifest_is_named_and_hides_nothing_else(catalog, storage):
    catalog.publish(catalog.new("good", MODEL, 2, ""))
    catalog.publish(catalog.new("bad", MODEL, 2, ""))
    storage.put("collections/bad/manifests/00000001.json", b'{"collection": "ba')
    assert catalog.names() == ["bad", "good"]
    with pytest.raises(CorruptData, match=r"collections/bad/manifests/00000001\.json"):
        catalog.get("bad")
    assert catalog.get("good").generation == 1


def test_an_unknown_collection_is_refused_with_the_names_of_those_there_are(catalog):
    with pytest.raises(NotFound, match="index a folder first"):
        catalog.get("docs")
    catalog.publish(catalog.new("docs", MODEL, 2, ""))
    with pytest.raises(NotFound, match="there are: docs"):
        catalog.get("dosc")


@pytest.mark.parametrize("name", ["", "Docs", "../etc", "a/b", ".hidden", "x" * 64, "a b", "ä"])
def test_a_name_that_could_be_a_path_is_refused(name):
    with pytest.raises(InvalidRequest, match="cannot name a collection"):
        check_name(name)


def test_manifests_are_plain_files_named_by_number(catalog, storage):
    catalog.publish(catalog.new("docs", MODEL, 2, ""))
    folder = os.path.join(storage.root, "collections/docs/manifests")
    assert os.listdir(folder) == ["00000001.json"]
