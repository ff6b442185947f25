"""A damaged collection is named, keeps no other from being searched, and is not read every time."""

from dataclasses import replace

import numpy as np
import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import CorruptData, NotFound
from actors.index.fusion import Mode
from actors.index.stored import segment_folder
from actors.index.writing import chunk_block, write_segment
from actors.messages import Chunk, Filter, SearchRequest
from actors.routing import corpus
from actors.routing.corpus import Corpora, make_plan
from actors.routing.weighing import weigh_query
from actors.storage import Storage

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 2)
CHUNK = Chunk("a.py", 1, 1, "python", "load", "def load(path): ...")
EVERYTHING = SearchRequest("load", Mode.LEXICAL, 10, (), Filter(), None, 10.0)


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "root"))


@pytest.fixture
def catalog(storage):
    catalog = Catalog(storage)
    for name in ("hurt", "sound"):
        block = chunk_block(name, [CHUNK], ["h"])
        ref = write_segment(storage, name, [block], [np.ones((1, 2), np.float32)])
        catalog.publish(replace(catalog.new(name, MODEL, 1, ""), shards=((ref,),)))
    return catalog


@pytest.fixture
def slowly(monkeypatch):
    """What was found stays fresh for as long as a test takes."""
    monkeypatch.setattr(corpus, "FRESH_S", 3600.0)


def missing(file):
    file.unlink()


def empty(file):
    file.write_bytes(b"")


def truncated(file):
    file.write_bytes(file.read_bytes()[:-1])


def scrambled(file):
    file.write_bytes(b"not what was written")


def searched(plan):
    return [generation.manifest.collection for generation in plan.generations]


def break_manifest(storage, collection, generation=2):
    storage.put(f"collections/{collection}/manifests/{generation:08}.json", b'{"collec')


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        *((damage, "offsets.npy") for damage in (missing, empty, truncated, scrambled)),
        *((damage, "terms.npy") for damage in (missing, empty, truncated, scrambled)),
        *((damage, "term_keys.npy") for damage in (empty, truncated, scrambled)),
    ],
)
def test_damaged_statistics_cost_their_collection_alone_and_are_named(
    storage, catalog, damage, part
):
    (ref,) = catalog.get("hurt").segments
    folder = segment_folder("hurt", ref.id)
    damage(storage.folder(folder) / "lexical" / part)
    corpora = Corpora(storage)
    corpora.reopen()
    plan = make_plan(corpora, EVERYTHING)
    assert searched(plan) == ["sound"]
    (left_out,) = plan.left_out
    assert (left_out.name, left_out.coverage) == ("hurt", 0.0)
    assert folder in left_out.problem
    assert weigh_query("load", plan.generations).terms == (b"load",)
    with pytest.raises(CorruptData, match=folder):
        make_plan(corpora, replace(EVERYTHING, collections=("hurt",)))


@pytest.mark.usefixtures("slowly")
def test_what_is_known_to_be_damaged_is_not_read_again_at_once(storage, catalog):
    break_manifest(storage, "hurt")
    corpora = Corpora(storage)
    assert searched(make_plan(corpora, EVERYTHING)) == ["sound"]
    assert corpora.age_s(()) < corpus.FRESH_S
    storage.delete("collections/hurt/manifests")  # it would be NotFound, were it looked for
    for _ in range(2):
        with pytest.raises(CorruptData, match=r"hurt/manifests/00000002\.json"):
            corpora.get("hurt")


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize("tell", [Corpora.reopen, lambda corpora: corpora.look(["hurt"])])
def test_what_was_mended_is_served_once_it_is_announced_or_looked_for(storage, catalog, tell):
    sound = catalog.get("hurt")
    break_manifest(storage, "hurt", sound.generation)
    corpora = Corpora(storage)
    with pytest.raises(CorruptData):
        corpora.get("hurt")
    storage.delete("collections/hurt/manifests")
    mended = catalog.publish(replace(sound, generation=0))
    tell(corpora)
    assert corpora.get("hurt").manifest == mended


@pytest.mark.usefixtures("slowly")
def test_a_look_that_fails_hides_nothing_that_was_seen_just_now(storage, catalog):
    corpora = Corpora(storage)
    served = corpora.get("hurt")
    break_manifest(storage, "hurt")
    corpora.look(["hurt"])
    assert corpora.get("hurt") is served


@pytest.mark.usefixtures("slowly")
def test_a_name_that_is_not_there_yet_is_looked_for_each_time(storage, catalog):
    corpora = Corpora(storage)
    with pytest.raises(NotFound):
        corpora.get("late")
    catalog.publish(catalog.new("late", MODEL, 1, ""))
    assert corpora.get("late").manifest.generation == 1
