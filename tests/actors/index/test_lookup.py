"""Looking up in segments: stored lines, and definitions by name."""

import numpy as np
import pytest

from actors.errors import NotFound
from actors.index import lookup
from actors.index.lookup import find_definitions, find_passage
from actors.index.segment import Segment
from actors.index.selection import Selection
from actors.index.writing import chunk_block, chunk_ids, write_segment
from actors.lookup_messages import PassageQuery, SymbolQuery
from actors.messages import Chunk
from actors.storage import Storage

FILE = [
    Chunk("src/app.py", 2, 3, "python", "load", "def load(path):\n    return open(path)"),
    Chunk(
        "src/app.py",
        6,
        9,
        "python",
        "Store",
        "class Store:\n    def load(self): ...\n\n    def save(self): return load",
    ),
    Chunk("src/app.py", 11, 11, "python", "", "x = 'a long "),
    Chunk("src/app.py", 11, 11, "python", "", "line'"),
]
CHUNKS = [
    Chunk("a.go", 1, 1, "go", "Load", "func Load() { load() }"),
    *FILE,
    Chunk("b.txt", 1, 1, "text", "", "load and save"),
    Chunk("c.qt", 1, 2, "qt", "Load.load", "item load\n  begin"),
    Chunk("c.qt", 3, 4, "qt", "Load.load", "  load\n  end"),
]
IDS = chunk_ids("c", CHUNKS)


@pytest.fixture
def segment(tmp_path):
    return written(tmp_path, CHUNKS)


def written(tmp_path, chunks):
    storage = Storage(str(tmp_path / "root"))
    block = chunk_block("c", chunks, ["h"] * len(chunks))
    vectors = np.random.default_rng(1).normal(size=(len(chunks), 4)).astype(np.float32)
    return Segment(storage, "c", write_segment(storage, "c", [block], [vectors]).id)


def without(*dead):
    return Selection(~np.isin(np.arange(len(CHUNKS)), dead))


def named(segment, name, kind=None, languages=(), limit=20, live=None):
    return find_definitions(segment, SymbolQuery(name, kind, languages, limit), live)


def told(found):
    return [(d.path, d.start_line, d.symbol, d.kind) for d in found.found]


def test_what_fits_best_comes_first_and_the_methods_of_small_classes_are_found(segment):
    assert told(named(segment, "load")) == [
        ("src/app.py", 2, "load", "function"),
        ("c.qt", 1, "Load.load", "definition"),
        ("src/app.py", 7, "Store.load", "method"),
        ("a.go", 1, "Load", "function"),
    ]


def test_definitions_name_the_chunk_that_holds_them(segment):
    (found,) = named(segment, "Store.save").found
    assert (found.chunk_id, found.symbol) == (IDS[2], "Store.save")


@pytest.mark.parametrize(
    ("wanted", "symbols"),
    [
        ({"kind": "method"}, ["Store.load"]),
        ({"kind": "class"}, []),
        ({"languages": ("go",)}, ["Load"]),
        ({"kind": "definition", "languages": ("qt", "go")}, ["Load.load"]),
    ],
)
def test_kind_and_language_are_heeded(segment, wanted, symbols):
    assert [d.symbol for d in named(segment, "load", **wanted).found] == symbols


def test_more_than_are_wanted_are_told(segment):
    found = named(segment, "load", limit=3)
    assert (len(found.found), found.more) == (3, True)
    assert not named(segment, "load", limit=4).more


def test_more_than_are_read_are_told_and_what_is_named_so_is_read_first(segment, monkeypatch):
    monkeypatch.setattr(lookup, "_MOST_READ", 1)
    found = named(segment, "load")
    assert (told(found), found.more) == ([("src/app.py", 2, "load", "function")], True)


def test_dead_rows_define_nothing_and_are_not_read(segment):
    assert "load" not in [d.symbol for d in named(segment, "load", live=without(1)).found]
    assert find_passage(segment, PassageQuery(IDS[1]), without(1)) is None
    assert find_passage(segment, PassageQuery(path="a.go"), without(0)) is None


def test_a_name_that_no_chunk_holds_is_nothing(segment):
    assert told(named(segment, "Store.nothing")) == []
    assert told(named(segment, "b.load")) == []


def test_a_chunk_is_read_with_its_vector(segment):
    found = find_passage(segment, PassageQuery(IDS[2]), None)
    assert (found.chunk, found.chunk_id, found.overlapping) == (FILE[1], IDS[2], (IDS[2],))
    assert np.linalg.norm(found.vector) == pytest.approx(1.0)


def test_a_chunk_is_read_with_lines_around_it(segment):
    found = find_passage(segment, PassageQuery(IDS[2], context=3), None).chunk
    assert (found.start_line, found.end_line) == (3, 11)
    assert found.text.startswith("    return open(path)\n\n\nclass Store:")


def lines(segment, first, last, **other):
    query = PassageQuery(path="src/app.py", start_line=first, end_line=last, **other)
    return find_passage(segment, query, None)


def test_lines_are_put_together_of_chunks(segment):
    found = lines(segment, 3, 7)
    assert found.chunk.text == "    return open(path)\n\n\nclass Store:\n    def load(self): ..."
    assert (found.chunk.start_line, found.chunk.end_line, found.chunk.symbol) == (3, 7, "")
    assert found.overlapping == (IDS[1], IDS[2])
    assert lines(segment, 7, 7).chunk.symbol == "Store"


def test_a_whole_file_is_read_and_a_long_line_is_one(segment):
    found = lines(segment, None, None).chunk
    assert (found.start_line, found.end_line) == (2, 11)
    assert found.text.split("\n")[-1] == "x = 'a long line'"


def test_lines_that_are_blank_are_read_as_blank(segment):
    found = lines(segment, 4, 5)
    assert (found.chunk.start_line, found.chunk.end_line, found.chunk.text) == (4, 5, "\n")
    assert found.chunk_id == IDS[2]
    assert lines(segment, 4, 5, context=1).chunk.text == "    return open(path)\n\n\nclass Store:"


def test_lines_behind_the_last_are_not_found(segment):
    assert lines(segment, 10, 99).chunk.end_line == 11
    with pytest.raises(NotFound, match=r"src/app.py has lines 1-11 in the index, and line 12"):
        lines(segment, 12, 20)


def test_of_a_line_its_chunk_is_taken_or_the_next(segment):
    assert lines(segment, 8, None, around=True).chunk == FILE[1]
    assert lines(segment, 4, None, around=True).chunk == FILE[1]
    assert lines(segment, 11, None, around=True).overlapping == (IDS[3], IDS[4])


def test_a_chunk_that_says_it_has_more_lines_than_it_has_is_read_as_it_is(tmp_path):
    handed_in = Chunk("faq", 1, 2**31 - 1, "text", "", "one line")
    segment = written(tmp_path, [handed_in])
    query = PassageQuery(path="faq", start_line=1, end_line=3)
    assert find_passage(segment, query, None).chunk.text == "one line\n\n"
