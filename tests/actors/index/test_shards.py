"""A host's shards: opened on first use, closed when memory is short, made quick afterwards."""

import errno
from dataclasses import replace

import numpy as np
import pytest
from clustered import clustered, near
from waiting import until

from actors.errors import CorruptData, InvalidRequest, LimitExceeded, MemoryLimitExceeded
from actors.index import texts
from actors.index.lexical import WeightedTerms
from actors.index.question import Wish
from actors.index.shards import Shards
from actors.index.stored import segment_folder
from actors.index.tiers import EXACT_ROWS
from actors.index.writing import bury, chunk_block, write_segment
from actors.messages import Chunk, Filter, ShardQuery, ShardRef
from actors.storage import Storage

LARGE, DIMENSION = EXACT_ROWS + 2_000, 16


def chunks_of(number, count):
    return [
        Chunk(
            f"src/f{n // 50}.py", n, n, "python" if n % 20 else "go", "s", f"part{number} line{n}"
        )
        for n in range(1, count + 1)
    ]


def write(storage, number, count):
    chunks = chunks_of(number, count)
    block = chunk_block("c", chunks, ["h"] * count)
    return write_segment(storage, "c", [block], [clustered(count, DIMENSION, number)])


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "root"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A root with one segment that is too large to be searched exactly for long."""
    storage = Storage(str(tmp_path_factory.mktemp("large")))
    return storage, write(storage, 0, LARGE)


def shard(*segments):
    return ShardRef("c", 1, 0, tuple(segments))


def query(vector=None, word="", limit=3, depth=10, **wanted):
    terms = WeightedTerms((word.encode(),), (1.0,), 2.0) if word else None
    return ShardQuery(vector, terms, Filter(**wanted), depth, limit, 0)


def one(number=0, **wanted):
    return query(near(clustered(100, DIMENSION), 5)[number], **wanted)


def test_warming_opens_what_a_first_search_would(storage):
    served = shard(write(storage, 1, 30), write(storage, 2, 30))
    host = Shards(storage)
    host.warm(served)
    assert host.census()["opens"] == 2
    (answer,) = host.search(served, (one(),))
    assert len(answer.dense.ids) == 10
    assert host.census()["opens"] == 2


def test_a_shard_is_at_hand_once_all_of_it_is_open(storage):
    first, second = write(storage, 1, 30), write(storage, 2, 30)
    host = Shards(storage)
    assert host.is_at_hand(shard())
    host.warm(shard(first))
    assert host.is_at_hand(shard(first))
    assert not host.is_at_hand(shard(first, second)), "a search would have to open the second"
    host.warm(shard(first, second))
    assert host.is_at_hand(shard(first, second))


def test_what_is_on_disk_is_not_at_hand(large):
    storage, ref = large
    host = Shards(storage, room=lambda: 0, build_index=lambda _uri: None)
    host.warm(shard(ref))
    assert not host.is_at_hand(shard(ref))


def test_what_does_not_fit_takes_the_place_of_what_was_used_least(storage):
    refs = [write(storage, number, 30) for number in range(3)]
    host = Shards(storage, lambda _size, what: refuse_beyond(host, 2, what))
    for ref in (refs[0], refs[1], refs[0], refs[2]):
        host.search(shard(ref), (one(),))
    census = host.census()
    assert (census["segments"], census["opens"], census["closes"]) == (2, 3, 1)
    host.search(shard(refs[0]), (one(),))
    assert host.census()["opens"] == 3


def test_a_shard_whose_own_segments_do_not_fit_together_is_refused(storage):
    refs = [write(storage, number, 30) for number in range(3)]
    host = Shards(storage, lambda _size, what: refuse_beyond(host, 2, what))
    with pytest.raises(MemoryLimitExceeded, match=refs[2].id):
        host.search(shard(*refs), (one(),))
    assert len(host.search(shard(*refs[:2]), (one(),))) == 1


def refuse_beyond(host, segments, what):
    if host.census()["segments"] >= segments:
        raise MemoryLimitExceeded(what)


@pytest.mark.parametrize("failure", [MemoryError(), OSError(errno.ENOMEM, "no memory")])
def test_a_failed_allocation_closes_what_is_idle_and_is_tried_once_more(storage, failure):
    failures = [failure]

    def fail_once(_size, _what):
        if host.census()["segments"] and failures:
            raise failures.pop()

    idle, asked = write(storage, 1, 30), write(storage, 2, 30)
    host = Shards(storage, fail_once)
    host.search(shard(idle), (one(),))
    host.search(shard(asked), (one(),))
    census = host.census()
    assert (census["segments"], census["closes"]) == (1, 1)


def test_memory_that_stays_out_is_said_to_be(storage):
    def fail(_size, _what):
        raise MemoryError

    with pytest.raises(MemoryLimitExceeded, match="shard 0 of c ran out of memory"):
        Shards(storage, fail).search(shard(write(storage, 1, 30)), (one(),))


def test_a_batch_is_answered_as_its_queries_are_one_by_one(storage):
    first, second = write(storage, 1, 300), write(storage, 2, 200)
    served = shard(bury(storage, "c", first, np.arange(0, 300, 7, dtype=np.uint32)), second)
    vectors = near(clustered(300, DIMENSION, 1), 9)
    filters = [{}, {"languages": ("go",)}, {"paths": ("f1.py",)}]
    queries = [
        query(vector, "line7" if n % 2 else "", depth=10 + n % 2, **filters[n % 3])
        for n, vector in enumerate(vectors)
    ] + [query(word="line7")]
    host = Shards(storage)
    together = host.search(served, tuple(queries))
    for asked, answer in zip(queries, together, strict=True):
        (alone,) = host.search(served, (asked,))
        assert answer.dense.ids.tolist() == alone.dense.ids.tolist()
        assert answer.dense.scores.tolist() == alone.dense.scores.tolist()
        assert answer.lexical.ids.tolist() == alone.lexical.ids.tolist()
        assert answer.records == alone.records


def test_dead_rows_are_not_found(storage):
    ref = write(storage, 1, 50)
    buried = bury(storage, "c", ref, np.arange(1, 50, dtype=np.uint32))
    (answer,) = Shards(storage).search(shard(buried), (one(),))
    assert [Chunk.of(record).start_line for record in answer.records.values()] == [1]


def test_a_chunk_whose_dead_row_has_its_id_is_no_copy_of_itself(storage):
    old, new = write(storage, 0, 20), write(storage, 0, 20)
    served = shard(bury(storage, "c", old, np.arange(20, dtype=np.uint32)), new)
    asked = replace(one(limit=20, depth=20), wish=Wish())
    (answer,) = Shards(storage).search(served, (asked,))
    assert answer.signals.ids.tolist() == sorted(answer.dense.ids.tolist())
    assert set(answer.records) == set(answer.dense.ids.tolist())


def test_a_query_of_another_dimension_is_refused(storage):
    with pytest.raises(InvalidRequest, match=r"8 dimensions.* have 16"):
        Shards(storage).search(shard(write(storage, 1, 30)), (query(np.ones(8, np.float32)),))


def test_a_large_segment_is_searched_at_once_and_coded_after_that(large):
    storage, ref = large
    host = Shards(storage)
    (early,) = host.search(shard(ref), (one(depth=100),))
    census = host.census()
    assert (census["resident_segments"], census["resident_chunks"]) == (1, LARGE)
    codes = storage.folder(segment_folder("c", ref.id)) / "dense.codes"
    until(codes.exists)
    (later,) = host.search(shard(ref), (one(depth=100),))
    assert np.isin(early.dense.ids[:10], later.dense.ids).mean() >= 0.9


def test_a_large_segment_without_room_stays_on_disk_and_is_read_when_there_is(large):
    storage, ref = large
    asked_for, room = [], [0]
    host = Shards(storage, room=lambda: room[0], build_index=asked_for.append)
    (paged,) = host.search(shard(ref), (one(),))
    assert host.census()["paged_chunks"] == LARGE
    until(lambda: asked_for)
    assert asked_for[0].endswith(f"{ref.id}/rows.lance")
    room[0] = 1 << 40
    host.keep_only(frozenset({ref.id}))
    until(lambda: host.census()["resident_chunks"] == LARGE)
    (resident,) = host.search(shard(ref), (one(),))
    assert np.isin(paged.dense.ids, resident.dense.ids).mean() >= 0.9


def test_what_no_generation_names_is_closed(storage):
    old, new = write(storage, 1, 30), write(storage, 2, 30)
    host = Shards(storage)
    host.search(shard(old, new), (one(),))
    host.keep_only(frozenset({new.id}))
    assert (host.census()["segments"], host.census()["closes"]) == (1, 1)


def test_idle_segments_close_and_open_again(storage):
    served = shard(write(storage, 1, 30))
    host = Shards(storage)
    before = host.search(served, (one(),))
    host.close_idle()
    assert host.census()["segments"] == 0
    assert host.search(served, (one(),))[0].records == before[0].records


def test_chunks_read_from_lance_are_those_of_the_text_file(storage):
    ref = write(storage, 1, 30)
    folder = storage.folder(f"{segment_folder('c', ref.id)}/texts")
    from_file = Shards(storage).search(shard(ref), (one(),))[0].records
    for file in folder.iterdir():
        file.unlink()
    assert Shards(storage).search(shard(ref), (one(),))[0].records == from_file
    assert len(from_file) == 3


@pytest.mark.parametrize("damaged", [b"", b"[" * 9000, b"[\xff]" * 3000])
def test_a_damaged_text_file_names_its_segment(storage, damaged):
    ref = write(storage, 1, 30)
    folder = storage.folder(f"{segment_folder('c', ref.id)}/texts")
    (folder / "rows.bin").write_bytes(damaged)
    with pytest.raises(CorruptData, match=ref.id):
        Shards(storage).search(shard(ref), (one(),))


@pytest.mark.parametrize("with_file", [True, False])
def test_more_text_than_one_query_may_read_is_refused(storage, monkeypatch, with_file):
    ref = write(storage, 1, 30)
    if not with_file:
        for file in storage.folder(f"{segment_folder('c', ref.id)}/texts").iterdir():
            file.unlink()
    monkeypatch.setattr(texts, "MAX_READ_BYTES", 100)
    with pytest.raises(LimitExceeded, match="ask for fewer hits"):
        Shards(storage).search(shard(ref), (one(),))
