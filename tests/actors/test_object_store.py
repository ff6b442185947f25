"""The same storage on an S3 server: conditional puts, segments, deletion."""

from dataclasses import replace

import numpy as np
import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import Conflict
from actors.index.segment import Segment
from actors.index.writing import bury, chunk_block, write_segment
from actors.messages import Chunk
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


def test_what_is_deleted_leaves_this_machines_cache_and_its_neighbours_stay(storage):
    for name in ("s/x/1", "s/x2/1"):
        storage.put(name, b"data")
    cached, neighbour = storage.folder("s/x"), storage.folder("s/x2")
    assert (cached / "1").read_bytes() == b"data"
    storage.delete("s/x")
    assert not cached.exists()
    assert (neighbour / "1").exists()
