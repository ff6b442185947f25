"""Merging: the policy comes to rest, nothing is lost or revived, scores stay the same."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import Conflict
from actors.index import merging
from actors.index.lexical import read_postings
from actors.index.merging import (
    FACTOR,
    LARGEST_ROWS,
    MOST_AT_ONCE,
    WRITER,
    Merge,
    all_due,
    due,
    merge,
    merge_segments,
    put_in_place,
)
from actors.index.segment import Segment
from actors.index.shards import Shards
from actors.index.stored import read_files, segment_folder
from actors.index.writing import bury, chunk_block, write_segment
from actors.messages import Chunk, Filter, SegmentRef, ShardQuery
from actors.routing.corpus import Corpora
from actors.routing.weighing import weigh_query
from actors.storage import Storage
from cluster.ingest.held import publish_change, stored_files

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 8)
WORDS = ["open", "read", "file", "user", "get", "parse", "date", "header", "while", "größe"]

refs = st.builds(
    lambda rows, dead: SegmentRef(f"{rows}-{dead}", rows, rows, "t", int(rows * dead), 0),
    st.integers(1, LARGEST_ROWS * 2),
    st.sampled_from([0, 0, 0.1, 0.5, 0.99]),
)


def shards_of(drawn):
    return [replace(ref, id=str(number)) for number, ref in enumerate(drawn)]


@given(st.lists(refs, max_size=80))
def test_a_merge_takes_segments_of_the_shard_in_their_order_and_within_bounds(drawn):
    shard = shards_of(drawn)
    chosen = due(shard)
    assert list(chosen) == [ref for ref in shard if ref in chosen]
    assert len(chosen) <= MOST_AT_ONCE
    if len(chosen) > 1:
        assert sum(ref.rows - ref.removed_rows for ref in chosen) <= LARGEST_ROWS
    elif chosen:
        assert chosen[0].removed_rows > 0


@settings(deadline=None)
@given(st.lists(refs, max_size=80))
def test_merging_comes_to_rest_with_few_segments_and_every_living_row(drawn):
    shard = shards_of(drawn)
    living = sum(ref.rows - ref.removed_rows for ref in shard)
    for step in range(2 * len(drawn) + 1):
        chosen = due(shard)
        if not chosen:
            break
        rows = sum(ref.rows - ref.removed_rows for ref in chosen)
        shard = [ref for ref in shard if ref not in chosen]
        shard += [SegmentRef(f"m{step}", rows, rows)] if rows else []
    assert due(shard) == ()
    assert sum(ref.rows - ref.removed_rows for ref in shard) == living
    small = [ref for ref in shard if ref.rows - ref.removed_rows <= LARGEST_ROWS / FACTOR]
    assert len(small) < FACTOR * 5


def test_single_publishes_rewrite_each_row_a_few_times_only():
    shard, written = [], 0
    for number in range(2000):
        shard.append(SegmentRef(str(number), 10, 10))
        while chosen := due(shard):
            rows = sum(ref.rows for ref in chosen)
            shard = [ref for ref in shard if ref not in chosen] + [
                SegmentRef(f"m{number}-{written}", rows, rows)
            ]
            written += rows
    assert len(shard) < FACTOR * 4
    assert written < 2000 * 10 * 40


def segments_of(*rows):
    return [SegmentRef(f"{number}", count, count) for number, count in enumerate(rows)]


def test_smaller_segments_come_along():
    shard = segments_of(33_000, 500, 33_000, 33_000, 4_318)
    assert due(shard) == tuple(shard)


def test_smaller_segments_alone_do_not_have_a_large_one_written_again():
    assert due(segments_of(200_000, 200_000, 200_000, 10_000)) == ()


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "root"))


def file_of(number, seed=0):
    random = np.random.default_rng((number, seed))
    path = f"src/f{number}.py"
    return [
        Chunk(
            path, line, line, "python", f"s{line}", " ".join(random.choice(WORDS, 6)) + f" n{line}"
        )
        for line in range(1, 8)
    ]


def vectors_of(chunks):
    random = np.random.default_rng(len(chunks))
    return random.normal(size=(len(chunks), 8)).astype(np.float32)


def write(storage, files, matrix=None):
    chunks = [chunk for file in files for chunk in file]
    hashes = [f"h{chunk.path}" for chunk in chunks]
    given_vectors = vectors_of(chunks) if matrix is None else matrix
    return write_segment(storage, "c", [chunk_block("c", chunks, hashes)], [given_vectors])


def published(storage, *segments):
    catalog = Catalog(storage)
    base = catalog.find("c") or catalog.new("c", MODEL, 1, "/src")
    return catalog.publish(replace(base, shards=(tuple(segments),), writer="another"))


def vectors_in(storage, segment):
    import lance

    dataset = lance.dataset(storage.uri(f"{segment_folder('c', segment)}/rows.lance"))
    table = dataset.to_table()
    return table.drop_columns(["vector"]).to_pylist(), np.array(table["vector"].to_pylist(), "f4")


def dead_files(storage, ref, *files):
    """Bury whole files, by their place in the segment."""
    rows = [np.arange(7 * f, 7 * f + 7, dtype=np.uint32) for f in files]
    return bury(storage, "c", ref, np.concatenate(rows))


@pytest.fixture
def shard(storage):
    """Three segments of four files each; in the first one file is dead, in the last two."""
    made = [write(storage, [file_of(4 * part + n) for n in range(4)]) for part in range(3)]
    made[0] = dead_files(storage, made[0], 2)
    made[2] = dead_files(storage, made[2], 0, 3)
    return published(storage, *made)


def answers(storage, text):
    (generation,) = [Corpora(storage).get("c")]
    vector = np.full(8, 8**-0.5, np.float32)
    query = ShardQuery(vector, weigh_query(text, [generation]), Filter(), 50, 50, 1)
    (answer,) = Shards(storage).search(generation.manifest.shard(0), (query,))
    return [
        (side.ids.tolist(), side.scores.tolist()) for side in (answer.dense, answer.lexical)
    ], answer.records


def test_a_merged_segment_is_bit_for_bit_what_indexing_afresh_would_write(storage, shard):
    merged, _ = merge_segments(storage, "c", shard.shards[0])
    files = [file_of(n) for n in (0, 1, 3, 4, 5, 6, 7, 9, 10)]
    kept, matrix = vectors_in(storage, merged.id)
    fresh = write(storage, files, matrix)
    again, unit = vectors_in(storage, fresh.id)
    assert (merged.rows, merged.length) == (fresh.rows, fresh.length)
    assert kept == again
    assert np.allclose(matrix, unit)
    ours, theirs = (
        read_postings(storage.folder(f"{segment_folder('c', ref.id)}/lexical"))
        for ref in (merged, fresh)
    )
    assert ours.vocabulary == theirs.vocabulary
    for name in ("offsets", "rows", "counts", "lengths"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert read_files(storage, "c", merged.id) == read_files(storage, "c", fresh.id)


def test_vectors_are_copied_and_not_computed_again(storage, shard):
    merged, living = merge_segments(storage, "c", shard.shards[0])
    before = [
        vectors_in(storage, ref.id)[1][alive]
        for ref, alive in zip(shard.shards[0], living, strict=True)
    ]
    assert np.array_equal(vectors_in(storage, merged.id)[1], np.concatenate(before))


@pytest.mark.parametrize("text", ["open the file", "n3", "größe while n7 n1"])
def test_hits_and_scores_are_the_same_to_the_last_bit_before_and_after(storage, shard, text):
    before = answers(storage, text)
    after = merge(storage.root, Merge("c", 0, shard.shards[0]))
    assert after == Catalog(storage).get("c")
    assert (after.generation, after.writer, len(after.shards[0])) == (2, WRITER, 1)
    assert (after.chunks, after.total_length) == (shard.chunks, shard.total_length)
    assert answers(storage, text) == before


def test_what_was_buried_during_a_merge_stays_buried(storage, shard):
    sources = shard.shards[0]
    merged, living = merge_segments(storage, "c", sources)
    buried = dead_files(storage, sources[0], 1, 2)  # file 2 was dead before
    extra = write(storage, [file_of(1, seed=9)])
    now = published(storage, buried, *sources[1:], extra)
    before = answers(storage, "open n3")
    after = put_in_place(storage, shard, 0, sources, merged, living)
    assert after.generation == now.generation + 1
    assert [ref.id for ref in after.shards[0]] == [merged.id, extra.id]
    assert after.shards[0][0].removed_rows == 7
    assert (after.chunks, after.total_length) == (now.chunks, now.total_length)
    assert answers(storage, "open n3") == before


def test_segments_that_others_took_away_meanwhile_are_not_brought_back(storage, shard):
    sources = shard.shards[0]
    merged, living = merge_segments(storage, "c", sources)
    now = published(storage, *sources[1:])
    assert put_in_place(storage, shard, 0, sources, merged, living) is None
    assert Catalog(storage).get("c") == now


def test_a_collection_that_was_deleted_during_a_merge_stays_deleted(storage, shard):
    sources = shard.shards[0]
    merged, living = merge_segments(storage, "c", sources)
    Catalog(storage).delete("c")
    assert put_in_place(storage, shard, 0, sources, merged, living) is None
    assert Catalog(storage).find("c") is None
    assert merge(storage.root, Merge("c", 0, sources)) is None


def test_a_writer_that_built_on_the_generation_before_a_merge_publishes_after_it(storage, shard):
    stored = stored_files(storage, shard)
    gone = {"src/f1.py": stored["src/f1.py"]}
    new = write(storage, [file_of(1, seed=9)])
    merge(storage.root, Merge("c", 0, shard.shards[0]))
    after = publish_change(storage, shard, gone, {0: [new]}, "job")
    assert (after.generation, after.writer) == (3, "job")
    assert after.chunks == shard.chunks
    assert set(stored_files(storage, after)) == set(stored)
    found = map(Chunk.of, answers(storage, "open n3")[1].values())
    lines = {
        line for chunk in found if chunk.path == "src/f1.py" for line in chunk.text.split("\n")
    }
    assert lines
    assert lines <= {chunk.text for chunk in file_of(1, seed=9)}


def test_a_writer_that_lost_to_another_writer_is_still_told(storage, shard):
    merge(storage.root, Merge("c", 0, shard.shards[0]))
    published(storage)
    with pytest.raises(Conflict, match="run this again"):
        publish_change(storage, shard, {}, {}, "job")


def test_a_segment_with_many_dead_rows_is_written_again_without_them(storage, monkeypatch):
    monkeypatch.setattr(merging, "FEWEST_DEAD", 7)
    ref = dead_files(storage, write(storage, [file_of(n) for n in range(4)]), 0, 3)
    manifest = published(storage, ref)
    (wanted,) = all_due(manifest)
    after = merge(storage.root, wanted)
    (compact,) = after.shards[0]
    assert (compact.rows, compact.removed_rows) == (14, 0)
    assert (after.chunks, after.total_length) == (manifest.chunks, manifest.total_length)
    assert len(Segment(storage, "c", compact.id).ids) == 14


def test_segments_that_are_all_dead_leave_nothing_behind(storage):
    refs = [dead_files(storage, write(storage, [file_of(n), file_of(9)]), 0) for n in range(2)]
    base = published(storage, *refs)
    merged, living = merge_segments(storage, "c", refs)
    published(storage, *(dead_files(storage, ref, 0, 1) for ref in refs))
    after = put_in_place(storage, base, 0, refs, merged, living)
    assert after.shards == ((),)


MERGER = """
import os, signal, sys
from actors.catalog import Catalog
from actors.index.merging import merge_segments
from actors.storage import Storage

storage = Storage(sys.argv[1])
merge_segments(storage, "c", Catalog(storage).get("c").shards[0])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_merge_that_is_killed_leaves_everything_as_it_was(storage, shard):
    before = answers(storage, "open the file")
    done = subprocess.run([sys.executable, "-c", MERGER, storage.root], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(f"{storage.root}/collections/c/segments")) == 4
    assert Catalog(storage).get("c") == shard
    assert answers(storage, "open the file") == before
