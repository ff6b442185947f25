"""Looking up over shards: what was found, and what could not be looked at, is told."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import IncompleteCoverage, InvalidRequest, NotFound
from actors.index.shards import Shards
from actors.index.writing import chunk_block, chunk_ids, write_segment
from actors.lookup import Lookups
from actors.lookup_messages import Lookup, PassageQuery, SymbolQuery
from actors.messages import Chunk
from actors.planning import Planner
from actors.routing.corpus import Corpora
from actors.routing.counts import Counts
from actors.routing.place import shard_of
from actors.scatter import Watch
from actors.storage import Storage

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)
CHUNKS = [
    Chunk(f"f{number}.py", 1, 1, "python", f"f{number}", f"def f{number}(load): ...")
    for number in range(6)
] + [Chunk(f"load{number}.py", 1, 1, "python", "load", "def load(): ...") for number in range(6)]


class Hosts:
    """Stands for hosts: looks in storage, but for shards that do not answer."""

    def __init__(self, storage, silent=()):
        self._shards, self._silent = Shards(storage), silent
        self.asked = []

    async def each(self, shards, call, _watch):
        return [self._answer(asked, call) for asked in shards]

    def _answer(self, asked, call):
        self.asked.append((asked.shard.collection, asked.shard.shard))
        if asked.shard.shard in self._silent:
            return TimeoutError()

        def remotely(method):
            return SimpleNamespace(remote=lambda *arguments: self._caught(method, *arguments))

        host = SimpleNamespace(
            passage=remotely(self._shards.passage),
            definitions=remotely(self._shards.definitions),
        )
        return call(host, asked.shard)

    @staticmethod
    def _caught(method, *arguments):
        try:
            return method(*arguments)
        except NotFound as error:
            return error


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    storage = Storage(str(tmp_path_factory.mktemp("lookups")))
    catalog = Catalog(storage)
    for collection, chunks in (("one", CHUNKS), ("two", CHUNKS[:1])):
        refs = [[], []]
        for chunk in chunks:
            block = chunk_block(collection, [chunk], ["h"])
            vectors = [np.ones((1, 4), np.float32)]
            ref = write_segment(storage, collection, [block], vectors)
            refs[shard_of(chunk.path, 2)].append(ref)
        base = catalog.new(collection, MODEL, 2, "")
        catalog.publish(replace(base, shards=tuple(map(tuple, refs))))
    return storage


def run(storage, method, query, collections=(), silent=()):
    hosts = Hosts(storage, silent)
    lookups = Lookups(Planner(Corpora(storage)), hosts)
    lookup = Lookup(collections, 10.0)
    answer = getattr(lookups, method)(lookup, query, Watch(10.0, Counts()))
    return asyncio.run(answer), hosts


def shard(path):
    return shard_of(path, 2)


def test_a_passage_is_found_by_id_in_whatever_shard_has_it(storage):
    for chunk, number in zip(CHUNKS, chunk_ids("one", CHUNKS), strict=True):
        found, _ = run(storage, "passage", PassageQuery(number))
        assert (found.collection, found.passage.chunk) == ("one", chunk)
        assert (found.generation, found.space) == (1, str(MODEL))


def test_by_path_the_shards_that_may_hold_it_are_asked_and_no_others(storage):
    found, hosts = run(storage, "passage", PassageQuery(path="f1.py"))
    assert found.passage.chunk == CHUNKS[1]
    assert hosts.asked == [("one", shard("f1.py")), ("two", shard("f1.py"))]


def test_a_path_in_several_collections_has_to_be_told_apart(storage):
    with pytest.raises(InvalidRequest, match=r"several collections \(one, two\); name one"):
        run(storage, "passage", PassageQuery(path="f0.py"))
    found, _ = run(storage, "passage", PassageQuery(path="f0.py"), ("two",))
    assert found.collection == "two"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (PassageQuery(path="no.py"), r"no\.py is not stored in one, two; give the path as hits do"),
        (PassageQuery(255), r"chunk 00000000000000ff is not stored .* search again"),
        (PassageQuery(path="f1.py", start_line=9), r"f1\.py has lines 1-1 in the index"),
    ],
)
def test_what_is_not_stored_is_not_found(storage, query, message):
    with pytest.raises(NotFound, match=message):
        run(storage, "passage", query)


def test_what_may_be_in_a_shard_that_is_silent_is_not_called_missing(storage):
    with pytest.raises(IncompleteCoverage, match=r"shard 1 did not answer in time; try again"):
        run(storage, "passage", PassageQuery(255), silent=(1,))


def test_definitions_come_from_all_shards_in_one_order(storage):
    found, _ = run(storage, "symbols", SymbolQuery("load", None, (), 20))
    assert [definition.path for _, definition in found.found] == [f"load{n}.py" for n in range(6)]
    assert [part.coverage for part in found.collections] == [1.0, 1.0]
    assert not found.more
    fewer, _ = run(storage, "symbols", SymbolQuery("load", None, (), 5))
    assert (len(fewer.found), fewer.more) == (5, True)
    later, _ = run(storage, "symbols", SymbolQuery("load", None, (), 3, offset=2))
    assert (later.found, later.more) == (found.found[2:5], True)
    last, _ = run(storage, "symbols", SymbolQuery("load", None, (), 3, offset=5))
    assert (last.found, last.more) == (found.found[5:], False)


def test_definitions_in_a_shard_that_is_silent_are_lacking_and_that_is_told(storage):
    found, _ = run(storage, "symbols", SymbolQuery("load", None, (), 20), ("one",), silent=(0,))
    expected = [f"load{n}.py" for n in range(6) if shard(f"load{n}.py") == 1]
    assert [definition.path for _, definition in found.found] == expected
    (part,) = found.collections
    assert (part.coverage, part.problem) == (0.5, "shard 0 did not answer in time")
