"""A store that refuses requests, or does them and says that it did not: nothing comes of it."""

import contextlib
import secrets
import urllib.request
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import lance
import numpy as np
import pyarrow as pa
import pytest
from flaky_store import Fate, Kind, always, by_turns, flaky_store, once
from own_gateway import own_gateway
from s3 import s3_environment
from waiting import until

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import Conflict
from actors.index.merging import WRITER, all_due, merge
from actors.index.stored import living_rows, segment_folder
from actors.index.verify import verify_segment
from actors.index.writing import chunk_block, write_segment
from actors.job_book import JobBook
from actors.leases import Leases
from actors.messages import Chunk, JobState, JobStatus
from actors.retention import Cleaner, go_back
from actors.storage import AlreadyThere, Storage
from cluster.ingest.held import publish_change, stored_files

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)
PUBLISHED = 5


@pytest.fixture(scope="module")
def store(s3_server):
    with flaky_store(s3_server) as store:
        yield store


@pytest.fixture
def storage(store, bucket, monkeypatch):
    store.become(always(Fate.ANSWERED))
    monkeypatch.setenv("AWS_ENDPOINT", store.address)
    return Storage(f"{bucket}/shoal")


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.REFUSED])
def test_a_publication_is_its_writers_own_whatever_was_answered(store, storage, fate):
    catalog = Catalog(storage)
    base = catalog.new("c", MODEL, 1, "")
    store.become(once(Kind.PUBLICATION, fate))
    published = catalog.publish(replace(base, writer="first"))
    assert store.met[Kind.PUBLICATION, fate] == 1
    assert catalog.all("c") == [published]
    with pytest.raises(Conflict, match="generation 1 exists"):
        catalog.publish(replace(base, writer="second"))


def test_a_name_that_another_took_is_not_taken_for_ones_own(store, storage):
    storage.put_new("c/manifests/1", b"theirs")
    store.become(once(Kind.PUBLICATION, Fate.LOST))
    with pytest.raises(AlreadyThere):
        storage.put_new("c/manifests/1", b"mine")
    assert store.met[Kind.PUBLICATION, Fate.LOST] == 1
    assert storage.read("c/manifests/1") == b"theirs"


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.REFUSED])
@pytest.mark.parametrize("kind", [k for k in Kind if k not in {Kind.READ, Kind.PUBLICATION}])
def test_a_segment_is_written_whole_whichever_request_fails(store, storage, kind, fate):
    rows, dimension = 2000, 1024  # more than a store is sent in one piece
    chunks = [Chunk(f"{n}.md", 1, 1, "markdown", "", f"number {n}") for n in range(rows)]
    vectors = np.random.default_rng(1).random((rows, dimension), np.float32)
    store.become(once(kind, fate))
    ref = write_segment(storage, "c", [chunk_block("c", chunks, ["h"] * rows)], [vectors])
    assert store.met[kind, fate] == 1
    assert list(verify_segment(storage, "c", ref, dimension)) == []


def test_jobs_and_leases_are_kept_and_let_go(store, storage):
    store.become(once(Kind.PUT, Fate.LOST))
    job = JobStatus("1", "c", source="s", started_at=1.0)
    JobBook(storage).report(job)
    assert store.met[Kind.PUT, Fate.LOST] == 1
    JobBook(storage).report(job.ended(JobState.DONE))
    assert JobBook(storage).job("1").state is JobState.DONE
    leases = Leases(storage)
    store.become(once(Kind.PUT, Fate.LOST))
    leases.take("c", "me", 7)
    assert leases.held("c") == Counter({7: 1})
    store.become(once(Kind.OTHER, Fate.LOST))
    leases.release("c", "me")
    assert store.met[Kind.OTHER, Fate.LOST] == 1
    assert leases.held("c") == Counter()


def was_flaky(store):
    """Tell whether requests of each kind were refused, and such as change something lost."""
    kinds = (Kind.PUT, Kind.PUT_IF_ABSENT, Kind.PUBLICATION)
    wanted = {(kind, fate) for kind in kinds for fate in (Fate.REFUSED, Fate.LOST)}
    return {*wanted, (Kind.READ, Fate.REFUSED)} <= store.met.keys()


def live(storage):
    """Publish, change, merge, go back; return all generations, oldest first."""
    catalog = Catalog(storage)
    base = catalog.new("c", MODEL, 1, "")
    for number in range(PUBLISHED):
        chunks = [
            Chunk(name, 1, 1, "markdown", "", f"{name} as of {number}")
            for name in ("changing.md", f"new_{number}.md")
        ]
        vectors = np.random.default_rng(number).random((2, 4), np.float32)
        block = chunk_block("c", chunks, [f"hash {number}"] * 2)
        stored = stored_files(storage, base)
        gone = {path: stored[path] for path in stored if path == "changing.md"}
        written = {0: [write_segment(storage, "c", [block], [vectors])]}
        base = publish_change(storage, base, gone, written, f"job {number}")
    (due,) = all_due(base)
    merged = merge(storage.root, due)
    go_back(catalog, catalog.retained("c", 2), merged.generation)
    return catalog.all("c")


def contents(storage, manifest):
    """Return the living rows of a generation, vectors and all."""
    found = []
    for ref in manifest.segments:
        rows = lance.dataset(storage.uri(f"{segment_folder('c', ref.id)}/rows.lance")).to_table()
        found += rows.filter(pa.array(living_rows(storage, "c", ref))).to_pylist()
    return sorted(found, key=lambda row: row["path"])


@pytest.mark.parametrize("seed", range(3))
def test_a_collection_lives_as_on_a_disk(store, storage, tmp_path, seed):
    store.become(by_turns(seed))
    generations = live(storage)
    Cleaner(storage).remove_orphans("c", timedelta(0))
    assert was_flaky(store)

    disk = Storage(str(tmp_path / "root"))
    wanted = live(disk)
    assert [(m.generation, m.writer) for m in generations] == [
        (m.generation, m.writer) for m in wanted
    ]
    assert wanted[-2].writer == WRITER
    for got, as_on_disk in zip(generations, wanted, strict=True):
        assert contents(storage, got) == contents(disk, as_on_disk)
        for ref in got.segments:
            assert list(verify_segment(storage, "c", ref, 4)) == []

    catalog = Catalog(storage)
    catalog.delete("c")
    assert catalog.names() == []
    assert [m.deleted for m in catalog.all("c")] == [False] * len(generations) + [True]
    assert storage.names("collections/c/segments") == []


@pytest.fixture(scope="module")
def gateway(store, tmp_path_factory):
    """Yield a client of a gateway whose root is in that store, and the root."""
    name = f"bucket-{secrets.token_hex(4)}"
    store.become(by_turns(seed=4))
    with contextlib.ExitStack() as stack:
        made = urllib.request.Request(f"http://{store.behind}/{name}", method="PUT")
        urllib.request.urlopen(made).close()
        environment = {
            **s3_environment(store.address),
            "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
            "SHOAL_SHARDS": "1",
        }
        root = f"s3://{name}/shoal"
        yield stack.enter_context(own_gateway(root, **environment)), Storage(root)


def texts_in(folder):
    return {str(p.relative_to(folder)): p.read_text().strip() for p in folder.rglob("*.md")}


def texts_found(shoal, name, limit=50):
    hits = shoal.search("tide", collections=[name], mode="lexical", limit=limit).hits
    return {hit.path: hit.text.strip() for hit in hits}


@pytest.mark.timeout(400)
def test_every_command_succeeds(store, gateway, tmp_path):
    shoal, storage = gateway
    folder, published = tmp_path / "tides", []

    def write(version, *numbers):
        for number in numbers:
            text = f"# Tide {number}\n\nHigh water as of {version}.\n"
            (folder / f"tide_{number}.md").write_text(text)

    def done(job):
        published.append(shoal.wait(job).id)
        assert texts_found(shoal, "tides") == texts_in(folder)

    folder.mkdir()
    for version in range(5):  # new files, and a changed one
        write(version, 0, 2 * version + 1, 2 * version + 2)
        done(shoal.index([folder], collection="tides"))
    until(lambda: any(m.writer == WRITER for m in Catalog(storage).all("tides")))
    before = texts_in(folder)
    kept = shoal.history("tides")[0].generation
    (folder / "tide_1.md").unlink()
    write("last", 2)
    done(shoal.reindex(collection="tides"))

    shoal.rollback("tides", kept)
    published.append(f"rollback to {kept}")
    assert texts_found(shoal, "tides") == before
    done(shoal.index([folder], collection="tides"))
    assert shoal.verify("tides").findings == ()
    generations = Catalog(storage).all("tides")
    assert [m.generation for m in generations] == list(range(1, len(generations) + 1))
    assert [m.writer for m in generations if m.writer != WRITER] == published

    shoal.delete("tides")
    assert shoal.collections() == ()
    assert was_flaky(store)
