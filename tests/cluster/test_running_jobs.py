"""Jobs of one gateway: heard of while they run, and ended without a trace, or not at all."""

import asyncio
import threading
from dataclasses import replace

import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import Conflict
from actors.job_book import JobBook
from actors.messages import JobState
from actors.storage import Storage
from cluster import comparison, jobs, running
from cluster.comparison import Comparison
from cluster.embedding import OpenedModel
from cluster.jobs import IndexJob, Opened
from cluster.naming import Target
from cluster.running import RunningJobs
from cluster.settings import Settings

MODEL = Fingerprint("static", "m", "float32", "none", "", "", 2)
BOUND_S = 60


class Steward:
    """The calls that jobs make, answered by a steward's own book, without an actor around it."""

    def __init__(self, storage):
        self.book = JobBook(storage)
        self.reports = []

    def report(self, status):
        self.reports.append(status)
        self.book.report(status)

    async def heard(self, status):
        self.reports.append(status)
        return self.book.report(status)

    async def report_end(self, status):
        self.report(status)

    async def may_publish(self, job_id):
        return self.book.may_publish(job_id)


class Idle(IndexJob):
    """A job that reads no file, so that it needs no Ray: it waits, then publishes a rebuild."""

    async def run(self):
        await self.open()
        self._tell(phase="waiting for the test")
        await self.proceed.wait()
        self._compared = Comparison(self._storage, self._target, self._base, rebuilds=True)
        self._compared.found["kept.py"] = "hash"
        manifest = await self._publish()
        return self._tell(phase="done", state=JobState.DONE, generation=manifest.generation)


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


@pytest.fixture
def catalog(storage):
    return Catalog(storage)


@pytest.fixture
def steward(storage):
    return Steward(storage)


@pytest.fixture
def gateway(steward, monkeypatch):
    monkeypatch.setattr(running, "_BEAT_S", 0.01)
    return RunningJobs(steward, lambda: None)


@pytest.fixture
def job(storage, catalog, steward):
    async def open_base(_on_progress):
        base = catalog.new("pond", MODEL, 1, "/src")
        return Opened(base, OpenedModel("m", MODEL, (), lambda block: block))

    async def announce():
        pass

    target = Target("pond", "/src", ("",))
    made = Idle(
        "one",
        target,
        open_base,
        None,
        storage,
        Settings(),
        steward.may_publish,
        announce,
        steward.report,
    )
    made.proceed = asyncio.Event()
    return made


@pytest.fixture
def held(monkeypatch):
    """Hold publications; yields when one has begun, and what lets it go on."""
    begun, go_on = threading.Event(), threading.Event()
    publish = comparison.publish_change

    def publish_held(*args):
        begun.set()
        assert go_on.wait(BOUND_S)
        return publish(*args)

    monkeypatch.setattr(comparison, "publish_change", publish_held)
    yield begun, go_on
    go_on.set()


async def ended(gateway):
    async with asyncio.timeout(BOUND_S):
        while len(gateway):
            await asyncio.sleep(0)


async def test_a_job_that_is_let_alone_publishes(gateway, steward, job, catalog):
    await gateway.start(job)
    job.proceed.set()
    await ended(gateway)
    known = steward.book.job("one")
    assert (known.state, known.generation, known.source) == (JobState.DONE, 1, "/src")
    assert catalog.get("pond").writer == "one"


async def test_a_cancelled_job_publishes_nothing_and_is_cancelled_for_good(
    gateway, steward, job, catalog
):
    await gateway.start(job)
    assert (await gateway.cancel("one")).state is JobState.CANCELLED
    assert len(gateway) == 0
    assert steward.book.job("one").state is JobState.CANCELLED
    assert catalog.find("pond") is None


async def test_a_job_that_publishes_is_waited_for(gateway, steward, job, catalog, held):
    begun, go_on = held
    await gateway.start(job)
    job.proceed.set()
    await asyncio.to_thread(begun.wait, BOUND_S)
    cancelling = [asyncio.create_task(gateway.cancel("one")) for _ in range(2)]
    await asyncio.sleep(0)
    assert catalog.find("pond") is None
    go_on.set()
    assert [(await one).state for one in cancelling] == [JobState.DONE] * 2
    assert steward.book.job("one").state is JobState.DONE
    assert catalog.get("pond").generation == 1


async def test_one_whose_publication_fails_has_failed(gateway, steward, job, catalog, held):
    begun, go_on = held
    await gateway.start(job)
    job.proceed.set()
    await asyncio.to_thread(begun.wait, BOUND_S)
    cancelling = asyncio.create_task(gateway.cancel("one"))
    catalog.publish(catalog.new("pond", MODEL, 1, "/src"))
    go_on.set()
    known = await cancelling
    assert (known.state, known.error_kind) == (JobState.FAILED, Conflict.__name__)


async def test_one_that_was_cancelled_elsewhere_does_not_publish(
    gateway, steward, job, catalog, monkeypatch
):
    monkeypatch.setattr(running, "_BEAT_S", BOUND_S)  # so that it learns of it when it asks
    await gateway.start(job)
    steward.book.cancel("one")
    job.proceed.set()
    await ended(gateway)
    assert steward.book.job("one").state is JobState.CANCELLED
    assert job.status.state is JobState.CANCELLED
    assert catalog.find("pond") is None


async def test_one_that_was_cancelled_elsewhere_hears_of_it_while_it_runs(gateway, steward, job):
    await gateway.start(job)
    steward.book.cancel("one")
    await ended(gateway)
    assert job.status.state is JobState.CANCELLED


async def test_jobs_are_heard_of_while_nothing_happens_in_them(gateway, steward, job):
    await gateway.start(job)
    before = len(steward.reports)
    async with asyncio.timeout(BOUND_S):
        while len(steward.reports) < before + 5:
            await asyncio.sleep(0)
    beats = steward.reports[before:]
    assert {beat.phase for beat in beats} <= {"finding the model", "waiting for the test"}
    assert [beat.seconds for beat in beats] == sorted({beat.seconds for beat in beats})
    await gateway.stop()


async def test_a_gateway_that_ends_interrupts_its_jobs(gateway, steward, job, catalog):
    await gateway.start(job)
    await gateway.stop()
    known = steward.book.job("one")
    assert (known.state, known.error_kind) == (JobState.INTERRUPTED, "GatewayUnavailable")
    assert known.error.startswith("the gateway ended over this job; the collection is as it was")
    assert catalog.find("pond") is None


async def test_a_job_that_is_refused_at_once_is_none(gateway, steward, job):
    async def refuse(_on_progress):
        raise Conflict("another model")

    job._open_base = refuse
    with pytest.raises(Conflict, match="another model"):
        await gateway.start(job)
    assert len(gateway) == 0
    assert steward.book.all() == ()


async def test_a_job_names_a_hundred_files_in_error_and_counts_the_rest(gateway, job):
    job._errors += [jobs.FileError(f"{n}.py", "unreadable") for n in range(103)]
    await gateway.start(job)
    job.proceed.set()
    await ended(gateway)
    assert (len(job.status.errors), job.status.errors_omitted) == (100, 3)


def test_places_are_counted_where_there_are_several():
    one = Target("pond", "/src", ("a.py",))
    assert jobs.in_short(one) == "/src/a.py"
    assert jobs.in_short(replace(one, scopes=("a.py", "b.py"))) == "2 places in /src"
