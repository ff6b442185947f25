"""Backups folder by folder: incremental, compared, gone on with; in a folder and in a store."""

from dataclasses import replace

import numpy as np
import pytest

from actors import backups as module
from actors.backups import Backups, copy_folder, folders_of, pinned
from actors.catalog import Catalog
from actors.drafts import Drafts
from actors.engines.base import Fingerprint
from actors.errors import CorruptData, NotFound, StorageError
from actors.index.checksums import CHECKSUMS
from actors.index.segment import Segment
from actors.index.stored import living_rows, segment_folder
from actors.index.verify import verify_segment
from actors.index.writing import bury, chunk_block, chunk_ids, write_segment
from actors.messages import Chunk
from actors.restoring import Source, restore_dead_rows, restore_segment
from actors.storage import Storage

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)
CHUNKS = [Chunk(f"{name}.py", 1, 1, "python", "", f"def {name}(): ...") for name in "abc"]


def segment_of(storage, chunks, collection="c"):
    matrix = np.eye(len(chunks), 4, dtype=np.float32)
    block = chunk_block(collection, chunks, ["h"] * len(chunks))
    return write_segment(storage, collection, [block], [matrix])


@pytest.fixture
def root(tmp_path):
    """Yield a root with a collection of two shards, one of them with a dead row."""
    storage = Storage(str(tmp_path / "root"))
    first = segment_of(storage, CHUNKS[:2])
    first = bury(storage, "c", first, np.array([1], np.uint32))
    catalog = Catalog(storage)
    base = catalog.new("c", MODEL, 2, "/src")
    catalog.publish(replace(base, shards=((first,), (segment_of(storage, CHUNKS[2:]),))))
    return storage


@pytest.fixture(params=["folder", "store"])
def place(request, tmp_path):
    if request.param == "folder":
        return Storage(str(tmp_path / "place"))
    return Storage(f"{request.getfixturevalue('bucket')}/backups")


def back_up(root, place):
    """Back up what a root has; return how many files were copied."""
    manifest = Catalog(root).get("c")
    folders = list(folders_of(manifest))
    copied = [copy_folder(root, f.source, place, f.kept, f.digest) for f in folders]
    digests = {f.kept: done.digest for f, done in zip(folders, copied, strict=True)}
    Backups(place).keep(pinned(manifest, digests))
    return sum(each.new for each in copied)


def bring_back(place, root, name):
    """Restore the newest backup under a name, and return what was published."""
    manifest = Backups(place).manifest(Backups(place).find("c"))
    source = Source(place.root, "c", name)
    drafts = Drafts(root, name, "restore")
    shards = []
    for number, shard in enumerate(manifest.shards):
        refs = []
        for old in shard:
            ref = restore_segment(root.root, source, old, number, drafts.folder).ref
            dead = old.tombstones and restore_dead_rows(root.root, source, old, ref).ref
            refs.append(dead or ref)
        shards.append(tuple(refs))
    base = Catalog(root).new(name, MODEL, 2, "/src")
    return Catalog(root).publish(replace(base, shards=tuple(shards)))


def ids_of(storage, manifest):
    found = []
    for ref in manifest.segments:
        ids = Segment(storage, manifest.collection, ref.id).ids
        found += ids[living_rows(storage, manifest.collection, ref)].tolist()
    return found


def test_what_comes_back_is_what_was_there_and_shares_nothing_with_it(root, place, tmp_path):
    back_up(root, place)
    other = Storage(str(tmp_path / "other"))
    restored = bring_back(place, other, "c")
    original = Catalog(root).get("c")
    assert (restored.chunks, restored.total_length) == (original.chunks, original.total_length)
    assert ids_of(other, restored) == ids_of(root, original)
    assert not {r.id for r in restored.segments} & {r.id for r in original.segments}
    for ref in restored.segments:
        assert list(verify_segment(other, "c", ref, 4)) == []


def test_under_another_name_every_chunk_has_an_id_of_its_own(root, tmp_path):
    place = Storage(str(tmp_path / "place"))
    back_up(root, place)
    renamed = bring_back(place, root, "d")
    ids = set(ids_of(root, renamed))
    assert len(ids) == 2
    assert not ids & set(chunk_ids("c", CHUNKS))
    for ref in renamed.segments:
        assert list(verify_segment(root, "d", ref, 4)) == []
    assert len(root.names("collections/d/segments")) == 2  # none but those that are named


def test_a_later_backup_copies_what_is_new_alone(root, place):
    assert back_up(root, place) > 20
    assert back_up(root, place) == 0
    base = Catalog(root).get("c")
    added = segment_of(root, [Chunk("d.py", 1, 1, "python", "", "def d(): ...")])
    Catalog(root).publish(replace(base, shards=(base.shards[0], (*base.shards[1], added))))
    new = back_up(root, place)
    assert new == len(root.files(segment_folder("c", added.id))) - 1  # the checksums themselves
    records = Backups(place).all("c")
    assert [record.generation for record in records] == [1, 2]
    with pytest.raises(NotFound, match="no backup of generation 7 of 'c'; it holds: 1, 2"):
        Backups(place).find("c", 7)


def test_a_segment_of_the_days_before_checksums_is_pinned_by_its_backup(root, tmp_path):
    place, catalog = Storage(str(tmp_path / "place")), Catalog(root)
    base = catalog.get("c")
    unpinned = [tuple(replace(r, digest="", tombstones_digest="") for r in s) for s in base.shards]
    for ref in base.segments:
        root.remove(f"{segment_folder('c', ref.id)}/{CHECKSUMS}")
    catalog.publish(replace(base, shards=tuple(unpinned)))
    assert back_up(root, place) > 20
    assert back_up(root, place) == 0
    kept = Backups(place).manifest(Backups(place).find("c"))
    assert all(ref.digest for ref in kept.segments)
    restored = bring_back(place, Storage(str(tmp_path / "other")), "c")
    assert restored.chunks == base.chunks


@pytest.mark.parametrize("harm", ["changed", "missing", "record"])
def test_damage_is_named_and_nothing_is_published(root, tmp_path, harm):
    place, other = Storage(str(tmp_path / "place")), Storage(str(tmp_path / "other"))
    back_up(root, place)
    folder = f"segments/{next(Catalog(root).get('c').segments).id}"
    name = f"{folder}/lexical/rows.npy"
    if harm == "record":
        name = f"backups/c/{Backups(place).find('c').name}"
    whole = place.read(name)
    if harm == "missing":
        place.remove(name)
    else:
        place.put(
            name, whole.replace(b'"/src"', b'"/etc"') if harm == "record" else whole[:-1] + b"?"
        )
    with pytest.raises(CorruptData, match=f"{name} in .* is missing or is not what was written"):
        bring_back(place, other, "c")
    assert Catalog(other).names() == []
    assert other.names("collections/c/segments") == []


def test_a_damaged_collection_becomes_no_backup(root, place):
    folder = segment_folder("c", next(Catalog(root).get("c").segments).id)
    root.put(f"{folder}/files.arrow", b"short")
    with pytest.raises(CorruptData, match=rf"{folder}/files\.arrow in {root.root}"):
        back_up(root, place)
    assert Backups(place).all("c") == []


def test_wherever_a_backup_ends_there_is_none_and_the_next_goes_on(root, tmp_path, monkeypatch):
    whole = back_up(root, Storage(str(tmp_path / "whole")))
    copy = module._copy

    for ends_before in range(0, whole, 5):
        place, steps = Storage(str(tmp_path / f"place{ends_before}")), iter(range(ends_before))

        def ending(*args, steps=steps):
            if next(steps, None) is None:
                message = "no space is left there"
                raise StorageError(message)
            return copy(*args)

        monkeypatch.setattr(module, "_copy", ending)
        with pytest.raises(StorageError):
            back_up(root, place)
        assert Backups(place).all("c") == []
        monkeypatch.setattr(module, "_copy", copy)
        assert 0 < back_up(root, place) <= whole
        other = Storage(str(tmp_path / f"other{ends_before}"))
        assert bring_back(place, other, "c").chunks == 2


def test_a_large_file_goes_in_pieces(place, tmp_path):
    source = Storage(str(tmp_path / "source"))
    data = np.random.default_rng(7).bytes(20 << 20)
    source.put("large", data)
    place.put_pieces("large", source.pieces("large"), len(data))
    assert place.hash_of_file("large") == source.hash_of_file("large")
    assert b"".join(place.pieces("large")) == data
    with pytest.raises(FileNotFoundError):
        next(place.pieces("none"))
