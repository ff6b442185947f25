"""What earlier tries have written is used once, and only where it is still what the files say."""

from dataclasses import replace

import numpy as np
import pytest

from actors.catalog import Catalog
from actors.choice import EVERYTHING, Choice
from actors.drafts import Drafted, record_draft
from actors.engines.base import Fingerprint
from actors.errors import NothingToIndex
from actors.index.writing import chunk_block, write_segment
from actors.messages import Chunk
from actors.storage import Storage
from cluster.comparison import Comparison
from cluster.ingest.held import stored_files
from cluster.ingest.pipeline import BlockSummary
from cluster.ingest.walk import FoundFile
from cluster.naming import Target

MODEL = Fingerprint("static", "0" * 16, "float32", "mean", "", "", 4)
TARGET = Target("pond", "/src", ("",))


class Pond:
    """A collection of one shard, and what jobs do to it without Ray."""

    def __init__(self, folder):
        self.storage = Storage(str(folder))
        self.catalog = Catalog(self.storage)

    @property
    def base(self):
        return self.catalog.find("pond") or self.catalog.new("pond", MODEL, 1, "/src")

    def compared(self, **options):
        return Comparison(self.storage, TARGET, self.base, **options)

    def segment(self, **versions):
        """Write a segment of files of two chunks each; the version is their hash."""
        chunks = [
            Chunk(path, line, line, "text", "", f"{path} {version} {line}")
            for path, version in versions.items()
            for line in (1, 2)
        ]
        hashes = [version for version in versions.values() for _ in range(2)]
        block = chunk_block("pond", chunks, hashes)
        return write_segment(
            self.storage, "pond", [block], [np.eye(len(chunks), 4, dtype="f4") + 1]
        )

    def draft(self, **versions):
        """Write a segment as a job does that is stopped before it publishes."""
        ref = self.segment(**versions)
        record_draft(self.storage, self.compared().drafts.folder, Drafted(0, ref))
        return ref

    def files(self):
        return {
            path: (file.content_hash, len(file.extents))
            for path, file in stored_files(self.storage, self.base).items()
        }


@pytest.fixture
def pond(tmp_path):
    return Pond(tmp_path)


def summary(changed=None, **unchanged):
    return BlockSummary(0, unchanged, changed or {}, {})


def published(compared, written=()):
    usable = compared.usable()
    return compared.publish({0: [*usable.get(0, ()), *written]}, "job", {})


def test_files_tell_which_contents_are_known(pond):
    pond.catalog.publish(replace(pond.base, shards=((pond.segment(a="1", b="1"),),)))
    pond.draft(b="2", c="1")
    files = [FoundFile(name, 1) for name in "abcd"]
    (block,) = pond.compared().blocks("/src", files, 100)
    assert block.known == {"a": {"1"}, "b": {"1", "2"}, "c": {"1"}}


def test_drafts_take_the_place_of_what_they_replace(pond):
    pond.catalog.publish(replace(pond.base, shards=((pond.segment(a="1", b="1"),),)))
    pond.draft(b="2", c="1")
    compared = pond.compared()
    compared.take(summary(a="1", b="2", c="1"))
    after = published(compared)
    assert pond.files() == {"a": ("1", 1), "b": ("2", 1), "c": ("1", 1)}
    assert after.chunks == 6
    assert compared.drafts.all() == []


def test_a_file_that_several_tries_have_written_is_there_once(pond):
    pond.draft(a="1", b="1")
    pond.draft(b="1", a="1")
    pond.draft(a="1")
    compared = pond.compared()
    compared.take(summary(a="1", b="1"))
    assert published(compared).chunks == 4
    assert pond.files() == {"a": ("1", 1), "b": ("1", 1)}


def test_what_a_draft_says_that_files_no_longer_say_is_not_published(pond):
    pond.catalog.publish(replace(pond.base, shards=((pond.segment(a="1"),),)))
    pond.draft(a="2", b="2", gone="2")
    compared = pond.compared()
    compared.take(summary(changed={"b": "3"}, a="1"))  # a says again what it said
    after = published(compared, [pond.segment(b="3")])
    assert pond.files() == {"a": ("1", 1), "b": ("3", 1)}
    assert after.chunks == 4


def test_a_rebuild_takes_nothing_from_what_it_replaces(pond):
    pond.catalog.publish(replace(pond.base, shards=((pond.segment(a="1", b="1"),),)))
    new = replace(pond.catalog.new("pond", replace(MODEL, weights="f" * 16), 1, "/src"))
    compared = Comparison(pond.storage, TARGET, new, rebuilds=True)
    compared.take(summary(changed={"a": "1"}))
    after = compared.publish({0: [pond.segment(a="1")]}, "job", {})
    assert (after.generation, after.model.weights) == (2, "f" * 16)
    assert pond.files() == {"a": ("1", 1)}


def test_drafts_of_another_model_are_not_taken(pond):
    pond.draft(a="1")
    other = pond.catalog.new("pond", replace(MODEL, weights="f" * 16), 1, "/src")
    (block,) = Comparison(pond.storage, TARGET, other).blocks("/src", [FoundFile("a", 1)], 100)
    assert block.known == {}


def test_a_choice_is_remembered_until_another_is_made(pond):
    def bring_up_to_date(choice=EVERYTHING, **files):
        target = replace(TARGET, choice=choice)
        compared = Comparison(pond.storage, target, pond.base)
        compared.take(summary(files))
        new = {f: h for f, h in files.items() if pond.files().get(f, ("",))[0] != h}
        return published(compared, [pond.segment(**new)] if new else ())

    only_a = Choice(include=("a",))
    assert bring_up_to_date(a="1", b="1").choice == EVERYTHING
    assert bring_up_to_date(only_a, a="1").choice == only_a
    assert set(pond.files()) == {"a"}
    assert bring_up_to_date(a="2").choice == only_a
    same = pond.base
    assert bring_up_to_date(only_a, a="2") == same
    assert bring_up_to_date(Choice(exclude=("x",)), a="2").generation == same.generation + 1


def test_a_collection_is_not_emptied(pond):
    pond.catalog.publish(replace(pond.base, shards=((pond.segment(a="1"),),)))
    with pytest.raises(NothingToIndex, match=r"1 empty.*shoal delete pond"):
        pond.compared().publish({}, "job", {"empty": 1})
