"""The same storage on an S3 server: conditional puts, segments, deletion."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import Conflict
from actors.index.segment import Segment
from actors.index.stored import segment_folder, tombstone_folder
from actors.index.verify import verify_segment
from actors.index.writing import bury, chunk_block, write_segment
from actors.leases import Leases
from actors.messages import Chunk, SegmentRef
from actors.retention import KEPT_GENERATIONS, Cleaner, go_back
from actors.storage import Storage

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)
CHUNKS = [Chunk("a.py", 1, 1, "python", "", "hello"), Chunk("b.py", 1, 1, "python", "", "bye")]


@pytest.fixture
def storage(bucket):
    return Storage(f"{bucket}/shoal")


def test_of_two_writers_one_wins_and_the_other_is_told(storage):
    catalog = Catalog(storage)
    base = catalog.new("twice", MODEL, 1, "")
    catalog.publish(base)
    with pytest.raises(Conflict):
        catalog.publish(base)
    assert catalog.names() == ["twice"]


def test_a_segment_is_written_buried_searched_and_deleted(storage):
    matrix = np.eye(2, 4, dtype=np.float32)
    ref = write_segment(storage, "c", [chunk_block("c", CHUNKS, ["h"] * 2)], [matrix])
    buried = bury(storage, "c", ref, np.array([0], np.uint32))
    segment = Segment(storage, "c", ref.id)
    assert {Chunk.of(r).text for r in segment.records(segment.ids).values()} == {"hello", "bye"}
    catalog = Catalog(storage)
    catalog.publish(replace(catalog.new("c", MODEL, 1, ""), shards=((buried,),)))
    assert catalog.get("c").chunks == 1
    catalog.delete("c")
    assert storage.names("collections/c/segments") == []


def test_damaged_and_missing_objects_of_a_segment_are_found_and_named(storage):
    matrix = np.eye(2, 4, dtype=np.float32)
    ref = write_segment(storage, "v", [chunk_block("v", CHUNKS, ["h"] * 2)], [matrix])
    ref = bury(storage, "v", ref, np.array([0], np.uint32))

    def found():
        return [damage.what for damage in verify_segment(storage, "v", ref, 4)]

    assert found() == []
    segment, dead = segment_folder("v", ref.id), tombstone_folder("v", ref.tombstones)
    (data,) = (name for name in storage.files(segment) if name.startswith("rows.lance/data/"))
    whole = storage.read(f"{segment}/{data}")
    storage.put(f"{segment}/{data}", whole[:-1] + bytes([whole[-1] ^ 1]))
    storage.put(f"{segment}/files.arrow", b"short")
    storage.remove(f"{dead}/lost.npy")
    assert [what.split(" ", 2)[:2] for what in found()] == [
        ["files.arrow", "has"],
        [data, "is"],
        ["tombstones", f"{ref.tombstones}:"],
    ]
    assert found()[-1].endswith("lost.npy is missing")


def test_old_generations_go_but_for_the_leased_and_a_late_writer_is_told(storage):
    now = datetime.now(UTC)
    catalog, leases = Catalog(storage, lambda: now), Leases(storage, lambda: now)
    base = published = catalog.publish(catalog.new("r", MODEL, 1, ""))
    for number in range(KEPT_GENERATIONS + 2):
        storage.put(f"collections/r/segments/s{number}/files.arrow", b"x")
        ref = SegmentRef(f"s{number}", 1, 1)
        published = catalog.publish(replace(published, shards=((ref,),)))
    now += timedelta(days=2)
    leases.take("r", "reader", 3)
    gone = Cleaner(storage, lambda: now).clean("r")
    assert gone == [
        "generation 1 of r",
        "generation 2 of r",
        "collections/r/segments/s0",
    ]
    with pytest.raises(Conflict, match="generation 13 exists"):
        catalog.publish(base)
    assert go_back(catalog, catalog.retained("r", 3), 13).generation == 14


def test_what_is_deleted_leaves_this_machines_cache_and_its_neighbours_stay(storage):
    for name in ("s/x/1", "s/x2/1"):
        storage.put(name, b"data")
    cached, neighbour = storage.folder("s/x"), storage.folder("s/x2")
    assert (cached / "1").read_bytes() == b"data"
    storage.delete("s/x")
    assert not cached.exists()
    assert (neighbour / "1").exists()
