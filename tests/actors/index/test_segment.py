"""Segments on disk: BM25 against its formula, filters, tombstones, context, damage."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from actors.errors import CorruptData
from actors.index.lexical import K1, B, TermStatistics, weigh
from actors.index.segment import Segment
from actors.index.selection import Selection
from actors.index.stored import read_tombstones, segment_folder, tombstone_folder
from actors.index.tokens import terms
from actors.index.writing import (
    bury,
    chunk_block,
    chunk_ids,
    copy_numbers,
    searchable_text,
    write_segment,
)
from actors.messages import Chunk, Filter, ShardQuery
from actors.routing.corpus import Generation
from actors.storage import Storage

CHUNKS = [
    Chunk(
        "src/app.py",
        1,
        3,
        "python",
        "load",
        "def load(path):\n    # read the file\n    return open(path)",
    ),
    Chunk("src/app.py", 5, 6, "python", "save", "def save(path):\n    return path"),
    Chunk("src/lib/util.go", 1, 1, "go", "Save", "func Save(path string) { save(path) }"),
    Chunk("README.md", 1, 2, "markdown", "Title", "# Title\nhow to load and save a file"),
]


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "root"))


def vectors(count, dimension=8, seed=1):
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def written(storage, chunks=CHUNKS, matrix=None):
    block = chunk_block("c", chunks, ["h"] * len(chunks))
    return write_segment(
        storage, "c", [block], [vectors(len(chunks)) if matrix is None else matrix]
    )


def query(text="", vector=None, depth=10, context=0, statistics=None, **wanted):
    weighed = None
    if text:
        frequency, count, length = statistics
        weighed = weigh(terms(text), frequency, count, length)
    return ShardQuery(vector, weighed, Filter(**wanted), depth, depth, context)


def statistics_of(storage, ref, live):
    folder = storage.folder(f"{segment_folder('c', ref.id)}/lexical")
    pair = (TermStatistics(folder), read_tombstones(storage, "c", ref))

    def frequency(term):
        number = pair[0].vocabulary.find(term)
        return 0 if number is None else pair[0].frequency(number) - pair[1].lost_by(number)

    return frequency, live, ref.length - ref.removed_length


def bm25(text, chunks):
    """Score chunks by the formula, one by one, on plain counters."""
    bags = [Counter(terms(searchable_text(c.path, c.symbol, c.text))) for c in chunks]
    lengths = [sum(bag.values()) for bag in bags]
    mean = sum(lengths) / len(lengths)
    scores = []
    for bag, length in zip(bags, lengths, strict=True):
        score = 0.0
        for term in terms(text):
            df = sum(term in other for other in bags)
            idf = math.log(1 + (len(bags) - df + 0.5) / (df + 0.5))
            norm = K1 * (1 - B + B * length / mean)
            score += idf * bag[term] * (K1 + 1) / (bag[term] + norm)
        scores.append(score)
    return scores


def test_lexical_scores_are_bm25_to_the_last_digit(storage):
    ref = written(storage)
    segment = Segment(storage, "c", ref.id)
    asked = query("save the loaded file", statistics=statistics_of(storage, ref, len(CHUNKS)))
    ((_, found),) = segment.search([asked], None)
    expected = dict(zip(chunk_ids("c", CHUNKS), bm25("save the loaded file", CHUNKS), strict=True))
    got = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    assert got == pytest.approx({i: s for i, s in expected.items() if s > 0})


def test_dead_rows_leave_scores_as_if_they_had_never_been_written(storage):
    ref = written(storage)
    buried = bury(storage, "c", ref, np.array([1], np.uint32))
    living = [c for c in CHUNKS if c.symbol != "save"]
    live = np.array([True, False, True, True])
    asked = query("save file", statistics=statistics_of(storage, buried, len(living)))
    ((_, found),) = Segment(storage, "c", ref.id).search([asked], Selection(live))
    fresh = dict(zip(chunk_ids("c", living), bm25("save file", living), strict=True))
    got = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    assert got == pytest.approx({i: s for i, s in fresh.items() if s > 0})


def test_tombstones_add_up(storage):
    ref = written(storage)
    once = bury(storage, "c", ref, np.array([1], np.uint32))
    twice = bury(storage, "c", once, np.array([1, 3], np.uint32))
    assert (once.removed_rows, twice.removed_rows) == (1, 2)
    assert read_tombstones(storage, "c", twice).rows.tolist() == [1, 3]


def test_dense_search_is_exact_cosine(storage):
    matrix = vectors(50)
    chunks = [Chunk(f"f{i}.py", 1, 1, "python", "", f"text {i}") for i in range(50)]
    segment = Segment(storage, "c", written(storage, chunks, matrix).id)
    asked = vectors(1, seed=9)[0]
    asked /= np.linalg.norm(asked)
    ((found, nothing),) = segment.search([query(vector=asked, depth=5)], None)
    cosines = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)) @ asked
    best = np.argsort(-cosines)[:5]
    assert found.ids.tolist() == [chunk_ids("c", chunks)[i] for i in best]
    assert found.scores == pytest.approx(cosines[best], abs=1e-6)
    assert nothing is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"languages": ("python",)}, {"load", "save"}),
        ({"languages": ("go", "markdown")}, {"Save", "Title"}),
        ({"paths": ("*.py",)}, {"load", "save"}),
        ({"paths": ("src/",)}, {"load", "save", "Save"}),
        ({"paths": ("/src/*.py",)}, {"load", "save"}),
        ({"paths": ("lib/",), "languages": ("go",)}, {"Save"}),
        ({"paths": ("*.py",), "languages": ("go",)}, set()),
        ({"languages": ("cobol",)}, set()),
    ],
)
def test_filters_admit_exactly_what_they_name(storage, wanted, expected):
    segment = Segment(storage, "c", written(storage).id)
    ((found, _),) = segment.search([query(vector=np.ones(8, np.float32), **wanted)], None)
    symbols = {Chunk.of(r).symbol for r in segment.records(found.ids).values()}
    assert symbols == expected


def test_a_filter_is_applied_before_the_best_are_taken(storage):
    chunks = [Chunk(f"f{i}.py", 1, 1, "python", "", f"text {i}") for i in range(40)]
    chunks.append(Chunk("only.go", 1, 1, "go", "", "text"))
    matrix = np.ones((41, 8), np.float32)
    matrix[40] = -1
    segment = Segment(storage, "c", written(storage, chunks, matrix).id)
    asked = np.full(8, 8**-0.5, np.float32)
    ((found, _),) = segment.search([query(vector=asked, depth=3, languages=("go",))], None)
    assert found.scores.tolist() == pytest.approx([-1.0])


def test_context_lines_come_from_the_neighbouring_chunks(storage):
    segment = Segment(storage, "c", written(storage).id)
    ids = np.array(chunk_ids("c", CHUNKS), np.uint64)[1:2]
    (chunk,) = map(Chunk.of, segment.records(ids, context=2).values())
    assert (chunk.start_line, chunk.end_line) == (3, 6)
    assert chunk.text == "    return open(path)\n\ndef save(path):\n    return path"


def test_the_signature_of_a_later_part_is_embedded_and_found_and_not_shown(storage):
    part = Chunk("a.py", 9, 9, "python", "Store.load", "    return 1", "def load(self, address):")
    block = chunk_block("c", [part], ["h"])
    assert block.texts == ["a.py Store.load\ndef load(self, address):\n    return 1"]
    ref = write_segment(storage, "c", [block], [vectors(1)])
    segment = Segment(storage, "c", ref.id)
    asked = query("address", statistics=statistics_of(storage, ref, 1))
    ((_, found),) = segment.search([asked], None)
    (record,) = segment.records(found.ids).values()
    assert Chunk.of(record) == replace(part, signature="")


def test_a_segment_without_a_single_word_can_be_searched(storage):
    chunks = [Chunk("", 1, 1, "text", "", "+++ ---")]
    segment = Segment(storage, "c", written(storage, chunks).id)
    ((_, found),) = segment.search([query("word", statistics=(lambda _: 1, 1, 1))], None)
    assert len(found.ids) == 0


@pytest.mark.parametrize("part", ["rows.lance", "lexical/offsets.npy"])
def test_a_damaged_segment_is_named(storage, part):
    ref = written(storage)
    folder = storage.folder(segment_folder("c", ref.id))
    target = folder / part
    files = [target] if target.is_file() else [f for f in target.rglob("*.lance") if f.is_file()]
    for file in files:
        file.write_bytes(b"not what was written")
    with pytest.raises(CorruptData, match=ref.id):
        Segment(storage, "c", ref.id)


@pytest.mark.parametrize("part", ["lexical/offsets.npy", "texts/ends.npy"])
def test_an_empty_file_in_a_segment_is_named_as_damage(storage, part):
    ref = written(storage)
    (storage.folder(segment_folder("c", ref.id)) / part).write_bytes(b"")
    with pytest.raises(CorruptData, match=ref.id):
        Segment(storage, "c", ref.id)


def test_an_empty_file_of_tombstones_is_named_as_damage(storage):
    buried = bury(storage, "c", written(storage), np.array([1], np.uint32))
    folder = storage.folder(tombstone_folder("c", buried.tombstones))
    (folder / "rows.npy").write_bytes(b"")
    with pytest.raises(CorruptData, match=buried.tombstones):
        read_tombstones(storage, "c", buried)


def test_chunk_ids_move_with_their_text_and_tell_copies_apart():
    moved = [
        Chunk(c.path, c.start_line + 7, c.end_line + 7, c.language, c.symbol, c.text)
        for c in CHUNKS
    ]
    assert chunk_ids("c", CHUNKS) == chunk_ids("c", moved)
    assert chunk_ids("c", CHUNKS) != chunk_ids("d", CHUNKS)
    assert len(set(chunk_ids("c", [CHUNKS[0], CHUNKS[0]]))) == 2


def test_copies_of_a_text_are_told_apart_over_all_blocks_of_a_file():
    seen = Counter()
    blocks = ([CHUNKS[0]] * 2, [CHUNKS[1]], [CHUNKS[0]])
    copies = [copy_numbers(block, seen) for block in blocks]
    assert copies == [[0, 1], [0], [2]]
    ids = [i for block in zip(blocks, copies, strict=True) for i in chunk_ids("c", *block)]
    assert sorted(ids) == sorted(chunk_ids("c", [CHUNKS[0]] * 3 + [CHUNKS[1]]))


def test_a_generation_counts_living_terms_only(storage):
    ref = bury(storage, "c", written(storage), np.array([1], np.uint32))
    folder = storage.folder(f"{segment_folder('c', ref.id)}/lexical")
    generation = Generation(None, ((TermStatistics(folder), read_tombstones(storage, "c", ref)),))
    assert generation.frequencies([b"save", b"load", b"nowhere"]) == [2, 2, 0]
