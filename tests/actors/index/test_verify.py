"""Damage to any file of a segment is found and named; what is sound passes, cached files or not."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from actors.index import checksums
from actors.index.checksums import CHECKSUMS, FolderWriter
from actors.index.merging import merge_segments
from actors.index.stored import segment_folder, tombstone_folder
from actors.index.verify import verify_segment
from actors.index.writing import bury, chunk_block, write_segment
from actors.messages import Chunk
from actors.storage import Storage

DIMENSION = 8
CHUNKS = [
    Chunk(f"src/{number}.py", line, line, "python", "f", f"def f{number}(): return {line}")
    for number in range(6)
    for line in (1, 2)
]
FILES = (
    "files.arrow",
    *(
        f"lexical/{name}.npy"
        for name in ("terms", "term_ends", "term_keys", "offsets", "rows", "counts", "lengths")
    ),
    "texts/rows.bin",
    "texts/ends.npy",
    "rows.lance/data/*.lance",
    "rows.lance/_versions/*.manifest",
    "rows.lance/_transactions/*.txn",
    CHECKSUMS,
)
TOMBSTONE_FILES = ("rows.npy", "terms.npy", "lost.npy", CHECKSUMS)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def delete(path):
    path.unlink()


HARMS = (truncate, flip, delete)


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "root"))


def write(storage, chunks=CHUNKS):
    vectors = np.random.default_rng(1).normal(size=(len(chunks), DIMENSION)).astype(np.float32)
    vectors[0] = 0  # a text without a known word
    return write_segment(storage, "c", [chunk_block("c", chunks, ["h"] * len(chunks))], [vectors])


@pytest.fixture
def ref(storage):
    return bury(storage, "c", write(storage), np.array([1, 4, 5], np.uint32))


def found(storage, ref, dimension=DIMENSION):
    return [finding.what for finding in verify_segment(storage, "c", ref, dimension)]


def folder_of(storage, ref):
    return storage.folder(segment_folder("c", ref.id))


def test_what_was_written_buried_and_merged_passes(storage, ref):
    merged, _ = merge_segments(storage, "c", [ref, write(storage, CHUNKS[:4])])
    assert ref.digest
    assert ref.tombstones_digest
    assert merged.digest
    assert found(storage, ref) == found(storage, merged) == []


def test_the_checksums_name_every_file_of_the_segment(storage, ref):
    folder = folder_of(storage, ref)
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert there - {CHECKSUMS} == set(json.loads((folder / CHECKSUMS).read_text()))
    assert all(list(folder.glob(file)) for file in FILES)


def test_what_hosts_keep_beside_a_segment_does_not_disturb_it(storage, ref):
    (folder_of(storage, ref) / "dense.codes").write_bytes(b"made later")
    assert found(storage, ref) == []


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("file", FILES)
def test_damage_to_a_file_is_found_and_names_it(storage, ref, file, harm):
    (path,) = folder_of(storage, ref).glob(file)
    harm(path)
    name = str(path.relative_to(folder_of(storage, ref)))
    (what,) = found(storage, ref)
    assert what.startswith(name)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("file", TOMBSTONE_FILES)
def test_damage_to_tombstones_is_found_and_names_them(storage, ref, file, harm):
    harm(storage.folder(tombstone_folder("c", ref.tombstones)) / file)
    (finding,) = verify_segment(storage, "c", ref, DIMENSION)
    assert finding.tombstones == ref.tombstones
    assert f"{ref.tombstones}: {file}" in finding.what


def test_a_segment_that_is_gone_is_one_finding(storage, ref):
    storage.delete(segment_folder("c", ref.id))
    assert found(storage, replace(ref, tombstones="")) == [
        f"{segment_folder('c', ref.id)} is missing"
    ]


def without_digests(ref):
    """Return what manifests said of a segment before there were checksums."""
    return replace(ref, digest="", tombstones_digest="")


def test_a_segment_written_before_there_were_checksums_passes(storage, ref):
    assert found(storage, without_digests(ref)) == []


@pytest.mark.parametrize("file", [f for f in FILES if f not in (CHECKSUMS, "texts/ends.npy")])
def test_a_missing_file_of_an_old_segment_is_found(storage, ref, file):
    """But for those that can be done without: keys, copied texts, Lance's note of what it did."""
    (path,) = folder_of(storage, ref).glob(file)
    delete(path)
    is_needed = not file.endswith(("term_keys.npy", "rows.bin", ".txn"))
    assert bool(found(storage, without_digests(ref))) == is_needed


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_wrong_with_an_old_segment_nothing_but_findings_comes_of_it(storage, seed):
    random = Random(seed)
    ref = without_digests(write(storage))
    files = sorted(p for p in folder_of(storage, ref).rglob("*") if p.is_file())
    path = random.choice(files)
    content = bytearray(path.read_bytes())
    for _ in range(3):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    assert all(isinstance(what, str) for what in found(storage, ref))


def rewrite(storage, ref, name, change):
    """Change an array of the postings, in a segment that has no checksums."""
    path = folder_of(storage, ref) / "lexical" / f"{name}.npy"
    np.save(path, change(np.load(path)))


def with_last(value):
    return lambda array: np.concatenate((array[:-1], np.array([value], array.dtype)))


def swapped(array):
    return np.concatenate((array[:1], array[2:3], array[1:2] - 1, array[3:]))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("lengths", with_last(99), "terms, and the manifest says"),
        ("lengths", lambda lengths: lengths[:-1], "holds 11 documents, and the manifest says 12"),
        ("rows", with_last(12), "names document 12 of 12"),
        ("offsets", swapped, "has offsets that do not rise"),
        ("counts", lambda counts: counts[:-1], "has offsets that do not rise"),
        ("term_ends", with_last(10_000), "has a vocabulary that does not fit"),
    ],
)
def test_postings_that_contradict_the_manifest_are_found(storage, name, change, said):
    ref = without_digests(write(storage))
    rewrite(storage, ref, name, change)
    assert any(said in what for what in found(storage, ref))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": 13}, "rows.lance holds 12 rows, and the manifest says 13"),
        ({"rows": 13}, "files.arrow does not cover the 13 rows exactly"),
        ({"rows": 13}, "texts hold 12 records, and the manifest says 13"),
        ({"length": 1}, "and the manifest says 1"),
        ({"removed_rows": 4}, "they are 3, and the manifest says 4"),
        ({"removed_length": 1}, "and the manifest says 1"),
    ],
)
def test_a_manifest_that_says_otherwise_is_told(storage, ref, changes, said):
    assert any(said in what for what in found(storage, replace(ref, **changes)))


def test_vectors_of_another_model_are_told(storage, ref):
    (what,) = found(storage, ref, dimension=9)
    assert what == "rows.lance holds vectors of 8 dimensions, and the model makes 9"


def test_vectors_that_are_no_unit_vectors_are_counted(storage):
    import lance

    ref = write(storage)
    vectors = np.eye(len(CHUNKS), DIMENSION, dtype=np.float32)
    vectors[1], vectors[3] = np.nan, 2.0
    name = storage.uri(f"{segment_folder('c', ref.id)}/rows.lance")
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
    table = lance.dataset(name).to_table().drop_columns(["vector"]).append_column("vector", column)
    lance.write_dataset(table, name, mode="overwrite")
    (what,) = found(storage, without_digests(ref))
    assert what == "rows.lance holds 2 vectors that are not finite or not of unit length"


def test_a_record_that_is_none_is_found(storage):
    ref = write(storage)
    rows = folder_of(storage, ref) / "texts" / "rows.bin"
    rows.write_bytes(rows.read_bytes().replace(b'["src/3.py"', b'[3,"c/3.py"'))
    (what,) = found(storage, without_digests(ref))
    assert what.startswith("texts cannot be read")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rows", "their rows are not among the segment's 12, in order"),
        ("terms", "their terms are not among the segment's, in order"),
        ("lost", "a term lost more rows than hold it"),
    ],
)
def test_tombstones_that_contradict_the_segment_are_found(storage, ref, name, said):
    path = storage.folder(tombstone_folder("c", ref.tombstones)) / f"{name}.npy"
    np.save(path, np.load(path) + 50)
    (what,) = found(storage, without_digests(ref))
    assert said in what


def test_only_what_others_wrote_is_read_back(storage, monkeypatch):
    read = []
    whole = Storage.hash_of_file
    monkeypatch.setattr(
        Storage, "hash_of_file", lambda self, name: read.append(name) or whole(self, name)
    )
    write(storage)
    assert read
    assert all("/rows.lance/" in name for name in read)


def test_a_folder_is_sealed_over_its_own_files_alone(storage):
    writer = FolderWriter(storage, "a/b")
    writer.put("x/1", b"one")
    storage.put("a/bc", b"a neighbour")
    digest = writer.seal()
    assert list(checksums.damage(storage, "a/b", digest)) == []
    storage.put("a/b/x/1", b"two")
    assert list(checksums.damage(storage, "a/b", digest)) == [("x/1", "is not what was written")]
