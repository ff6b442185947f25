"""A gateway killed in mid-backup and in mid-restore: nothing half passes for whole."""

import os
import signal
from contextlib import contextmanager

import pytest
from flaky_store import Fate, always, flaky_store
from own_gateway import own_gateway
from waiting import runs, until

from actors.backups import Backups
from actors.errors import NotFound
from actors.storage import Storage
from cluster import daemon

SHARDS = 12
"""More than are copied at a time: there is a while when some are done and some are not."""


@pytest.fixture
def store(s3_server, bucket, monkeypatch):
    with flaky_store(s3_server) as store:
        monkeypatch.setenv("AWS_ENDPOINT", store.address)
        yield store


@contextmanager
def killed(shoal):
    """Kill a gateway as the block ends; yield it and all that it started."""
    process = daemon.find(shoal.settings).process
    yield [process, *process.children(recursive=True)]
    os.kill(process.pid, signal.SIGKILL)
    shoal.close()
    until(lambda: not runs(process))


@pytest.mark.timeout(300)
def test_it_is_no_backup_and_no_collection_until_it_is_whole(tmp_path, store, bucket):
    place, docs = f"{bucket}/backups", tmp_path / "docs"
    docs.mkdir()
    for n in range(4 * SHARDS):
        (docs / f"{n}.md").write_text(f"# Zebra number {n}\n")
    with own_gateway(tmp_path / "root", SHOAL_SHARDS=str(SHARDS)) as shoal:
        shoal.wait(shoal.index([docs], collection="docs"))
        store.become(always(Fate.DELAYED))
        with killed(shoal) as first:
            job = shoal.backup("docs", to=place)
            until(lambda: 0 < shoal.job(job.id).files_done < shoal.job(job.id).files_total)
            leases = Storage(str(tmp_path / "root")).names("collections/docs/leases")
            assert any(lease.startswith("backup-") for lease in leases)
        store.become(always(Fate.ANSWERED))
        assert Backups(Storage(place)).all("docs") == []
        again = shoal.wait(shoal.backup("docs", to=place))
        assert again.generation == 1
        assert again.files_unchanged > 0

        store.become(always(Fate.DELAYED))
        with killed(shoal) as second:
            job = shoal.restore("docs", source=place, name="again")
            until(lambda: 0 < shoal.job(job.id).files_done < shoal.job(job.id).files_total)
        store.become(always(Fate.ANSWERED))
        with pytest.raises(NotFound):
            shoal.history("again")
        job = shoal.wait(shoal.restore("docs", source=place, name="again"))
        assert job.files_unchanged > 0  # taken up
        assert shoal.verify("again").findings == ()
        found = shoal.search("zebra", mode="lexical", limit=100, collections=["again"])
        assert len(found.hits) == 4 * SHARDS
    until(lambda: not [process for process in (*first, *second) if runs(process)])
