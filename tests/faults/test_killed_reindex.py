"""A batch job is killed at any point: searches see the old generation, then all of the new one."""

import contextlib
from pathlib import Path

import psutil
import pytest
from own_gateway import own_gateway
from tides import FILES, Corpus, Searching, high_water, versions_of
from waiting import runs, until

from actors.catalog import Catalog
from actors.storage import Storage
from cluster.client import ShoalClient
from cluster.ingest.held import stored_files

PAUSING = Path(__file__).parent / "pausing"
JOB_S = 180
"""For a job to be over: its processes start side by side, twice where it is killed."""
BY_WORKERS = ("read", "embed", "write", "index")
"""Points at which a worker stands; at the others it is the job's own process."""
CELLS = [
    *((point, "driver") for point in (*BY_WORKERS, "publish", "published")),
    *((point, "worker") for point in BY_WORKERS),
]
AT_THE_END = ("index", "publish", "published")
"""Points at which all is embedded and recorded."""


@pytest.fixture(scope="module")
def pauses(tmp_path_factory):
    return tmp_path_factory.mktemp("pauses")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, pauses):
    root = tmp_path_factory.mktemp("root")
    environment = {"PYTHONPATH": str(PAUSING), "SHOAL_TEST_PAUSES": str(pauses)}
    with own_gateway(root, SHOAL_SHARDS="2", **environment) as client:
        yield client


@pytest.fixture
def shoal(gateway, pauses):
    """A client of the test's own: a connection may be to a gateway that was killed."""
    with ShoalClient(root=gateway.settings.root) as client:
        yield client
    let_go(pauses)


@pytest.fixture(scope="module")
def corpus(gateway, tmp_path_factory):
    corpus = Corpus(tmp_path_factory.mktemp("corpus") / "tides")
    corpus.write_next()
    gateway.wait(gateway.reindex([corpus.folder]))
    return corpus


def standing_at(pauses, point):
    """Return the process that stands at a point, once one does."""
    (found,) = until(lambda: list(pauses.glob(f"{point}.*")), JOB_S)
    return psutil.Process(int(found.suffix[1:]))


def the_job(shoal):
    """Return the process of the batch job."""
    gateway = psutil.Process(shoal.status().gateway_pid)
    living = filter(runs, gateway.children(recursive=True))
    return next(p for p in living if "".join(p.cmdline()).startswith("ray::BatchJob"))


def let_go(pauses):
    for file in pauses.iterdir():
        file.unlink()


def versions_stored(shoal):
    """Return how many chunks of each file there are, and what the files' hashes are."""
    storage = Storage(shoal.settings.root_uri)
    manifest = Catalog(storage).get("tides")
    files = stored_files(storage, manifest)
    assert all(sum(e.rows for e in f.extents) == 1 for f in files.values())
    assert manifest.chunks == len(files) == FILES
    return {path: file.content_hash for path, file in files.items()}


def ended(shoal, job):
    return until(lambda: (now := shoal.job(job.id)).state != "running" and now, JOB_S)


@pytest.mark.timeout(3 * JOB_S)
@pytest.mark.parametrize(("point", "victim"), CELLS)
def test_it_goes_on_and_is_seen_at_once_and_whole(shoal, corpus, pauses, point, victim):
    before = versions_stored(shoal)
    corpus.write_next()
    with Searching(shoal.settings.root) as searching:
        (pauses / point).touch()
        job = shoal.reindex(collection="tides")
        standing = standing_at(pauses, point)
        published = point == "published"
        assert (versions_stored(shoal) == before) is not published

        (the_job(shoal) if victim == "driver" else standing).kill()
        done = ended(shoal, job)
        let_go(pauses)

        assert (done.state, done.error) == ("done", "")
        after = versions_stored(shoal)
        assert not set(after.values()) & set(before.values())
        until(lambda: f"v{corpus.version} " in high_water(shoal).hits[0].text)
    assert searching.wrong == []
    assert searching.answers
    if victim == "driver" and point in AT_THE_END:
        assert done.chunks == 0  # the second try embeds nothing that the first had embedded


def kill_all(shoal):
    """Take the machine's power: every process of the gateway and of its cluster ends at once."""
    gateway = psutil.Process(shoal.status().gateway_pid)
    family = [gateway, *gateway.children(recursive=True)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: not [process for process in family if runs(process)])
    shoal.close()


@pytest.mark.timeout(3 * JOB_S)
@pytest.mark.parametrize("point", ["write", "publish", "published"])
def test_on_a_machine_that_failed_the_same_command_goes_on(shoal, corpus, pauses, point):
    before = versions_stored(shoal)
    corpus.write_next()
    (pauses / point).touch()
    shoal.reindex(collection="tides")
    standing_at(pauses, point)
    kill_all(shoal)
    let_go(pauses)

    published = point == "published"
    served = high_water(shoal, 50)
    seen = corpus.version if published else corpus.version - 1
    assert versions_of(served) == {f"v{seen}"}
    assert (served.coverage, len(served.hits)) == (1.0, 50)
    assert (versions_stored(shoal) == before) is not published

    done = ended(shoal, shoal.reindex(collection="tides"))
    assert (done.state, done.error) == ("done", "")
    assert not set(versions_stored(shoal).values()) & set(before.values())
    if point in AT_THE_END:
        assert done.chunks == 0


@pytest.mark.timeout(3 * JOB_S)
def test_an_interrupted_index_goes_on_where_it_stopped(shoal, corpus, pauses):
    corpus.write_next()
    (pauses / "publish").touch()
    shoal.index([corpus.folder], collection="tides")
    standing_at(pauses, "publish")
    kill_all(shoal)
    let_go(pauses)

    done = shoal.wait(shoal.index([corpus.folder], collection="tides"))
    assert done.files_changed + done.files_unchanged == FILES
    assert 0 < done.chunks < FILES  # what did not fill a segment
    versions_stored(shoal)
    assert f"v{corpus.version} " in high_water(shoal).hits[0].text
