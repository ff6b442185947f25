"""The root's disk is full in mid-write: the job says so, and nothing else comes of it."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import run_shoal
from own_gateway import own_gateway
from tides import Corpus, Searching, high_water, versions_of
from waiting import eventually, until

from actors.catalog import Catalog
from actors.errors import StorageError
from actors.index.merging import all_due
from actors.storage import Storage
from cluster import jobs
from cluster.ingest.held import stored_files

PAUSING = Path(__file__).parent / "pausing"
"""It makes segments small, so that a small disk takes some of them."""
FILES = 600
ROOM = 1 << 20
"""For some segments of so many files, and not for all."""
JOB_S = 180


class Disk:
    """A small file system, in memory."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        done = self._mount("-t", "tmpfs", "-o", "size=4m", "tmpfs")
        if done.returncode:
            pytest.skip(f"nothing can be mounted here; root could: {done.stderr.strip()}")

    def leave(self, room):
        """Have so many bytes left, in whole pages."""
        found = os.statvfs(self.path)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self._mount("-o", f"remount,size={used + room}").check_returncode()

    def end(self):
        until(lambda: subprocess.run(["umount", self.path], check=False).returncode == 0)

    def _mount(self, *options):
        command = ["mount", *options, self.path]
        return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    disk = Disk(tmp_path_factory.mktemp("disks") / "small")
    yield disk
    disk.end()


@pytest.fixture(scope="module")
def shoal(disk, tmp_path_factory):
    pauses = tmp_path_factory.mktemp("pauses")
    environment = {"PYTHONPATH": str(PAUSING), "SHOAL_TEST_PAUSES": str(pauses)}
    with own_gateway(disk.path / "root", SHOAL_SHARDS="2", **environment) as client:
        yield client


@pytest.fixture(scope="module")
def corpus(shoal, tmp_path_factory):
    corpus = Corpus(tmp_path_factory.mktemp("corpus") / "tides")
    corpus.write_next()
    shoal.wait(shoal.reindex([corpus.folder]))
    return corpus


def ended(shoal, job):
    return until(lambda: (now := shoal.job(job.id)).state != "running" and now, JOB_S)


def index(shoal, corpus):
    return ended(shoal, shoal.index([corpus.folder], collection="tides"))


def reindex(shoal, _corpus):
    return ended(shoal, shoal.reindex(collection="tides"))


def hashes(storage):
    """Return the hash of each file in the generation that is served."""
    manifest = Catalog(storage).get("tides")
    return {path: file.content_hash for path, file in stored_files(storage, manifest).items()}


def rows_of_drafts(storage):
    drafts = storage.cache("collections/tides/drafts").glob("*/*.json")
    return sum(json.loads(draft.read_text())["segment"]["rows"] for draft in drafts)


def half_written(storage):
    """Return the segments that lack what is written last."""
    folder = "collections/tides/segments"
    return [
        segment
        for segment in storage.names(folder)
        if "checksums.json" not in storage.names(f"{folder}/{segment}")
    ]


@pytest.mark.timeout(4 * JOB_S)
@pytest.mark.parametrize("work", [index, reindex])
def test_a_job_ends_with_the_cause_and_goes_on_once_there_is_room(shoal, disk, corpus, work):
    storage = Storage(shoal.settings.root_uri)
    before = hashes(storage)
    corpus.write_next(FILES)
    until(lambda: not any(all_due(Catalog(storage).get("tides"))))  # merges take room as well
    disk.leave(ROOM)
    with Searching(storage.root) as searching:
        failed = work(shoal, corpus)
    assert searching.wrong == []
    assert searching.versions == {f"v{corpus.version - 1}"}

    root = storage.root
    assert (failed.state, failed.error_kind) == ("failed", "StorageError")
    assert failed.error.startswith("cannot write collections/tides/")
    assert failed.error.endswith(
        f" in {root}: no space is left there: free some, or take another root with --root"
    )
    assert hashes(storage) == before
    assert half_written(storage) == []
    disk.leave(0)
    verified = run_shoal("collections", "verify", "tides", "--root", root)
    assert "all is as it was written" in verified.stdout

    drafted = rows_of_drafts(storage)
    assert 0 < drafted < FILES
    disk.leave(64 * ROOM)
    done = work(shoal, corpus)
    assert (done.state, done.error) == ("done", "")
    assert done.chunks == FILES - drafted
    assert Catalog(storage).get("tides").chunks == len(hashes(storage)) == FILES
    until(lambda: versions_of(high_water(shoal, 50)) == {f"v{corpus.version}"})
    assert shoal.verify("tides").findings == ()


def test_a_job_is_known_whose_record_cannot_be_written(shoal, disk, corpus):
    storage = Storage(shoal.settings.root_uri)
    served = versions_of(high_water(shoal, 50))
    corpus.write_next(FILES)
    disk.leave(0)
    failed = index(shoal, corpus)
    record = f"{failed.id}.json"
    assert (failed.state, failed.error_kind) == ("failed", "StorageError")
    assert failed.id in {job.id for job in shoal.jobs()}
    assert record not in storage.names("jobs")
    disk.leave(64 * ROOM)
    until(lambda: record in storage.names("jobs"))
    assert json.loads(storage.read(f"jobs/{record}"))["state"] == "failed"
    assert versions_of(high_water(shoal, 50)) == served


def test_a_job_embeds_no_more_once_a_write_has_failed(monkeypatch, tmp_path):
    async def refused(*_):
        raise StorageError("no space is left")

    async def work():
        writer = jobs.SegmentWriter(Storage(str(tmp_path)), "c")
        writer.add(0, "block", "vectors", jobs.SEGMENT_ROWS)
        with pytest.raises(StorageError, match="no space is left"):
            await eventually(lambda: writer.add(0, "block", "vectors", 1))

    monkeypatch.setattr(jobs, "_write_blocks", SimpleNamespace(remote=refused))
    asyncio.run(work())


def test_what_is_being_written_when_a_write_fails_ends_before_the_job_does(monkeypatch, tmp_path):
    ended = []

    async def write(_root, _collection, shard, *_):
        if shard == 0:
            raise StorageError("no space is left")
        await asyncio.sleep(0.1)
        ended.append(shard)

    async def work():
        writer = jobs.SegmentWriter(Storage(str(tmp_path)), "c")
        for shard in (0, 1):
            writer.add(shard, "block", "vectors", jobs.SEGMENT_ROWS)
        with pytest.raises(StorageError, match="no space is left"):
            await writer.finish()
        await writer.settle()
        assert ended == [1]

    monkeypatch.setattr(jobs, "_write_blocks", SimpleNamespace(remote=write))
    asyncio.run(work())
