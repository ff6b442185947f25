"""Jobs are remembered under the root: what overtakes what, what revives what, what is forgotten."""

import itertools
import json
import logging
from dataclasses import replace

import pytest

from actors import job_book
from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import NotFound, StorageError
from actors.job_book import REMEMBERED, SILENT_S, JobBook
from actors.messages import FileError, JobState, JobStatus
from actors.storage import Storage

BEGAN = 1e9


class Clock:
    now = BEGAN

    def __call__(self):
        return self.now


class Failing(Storage):
    """A root that cannot be written while `fails` is set; counts what is written."""

    fails = False
    writes = 0

    def put(self, name, data):
        if self.fails:
            raise StorageError("no space is left")
        self.writes += 1
        super().put(name, data)

    def remove(self, name):
        if self.fails:
            raise StorageError("no space is left")
        super().remove(name)


@pytest.fixture
def storage(tmp_path):
    return Failing(str(tmp_path))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def book(storage, clock):
    return JobBook(storage, clock)


@pytest.fixture
def again(storage, clock):
    """Return a function that makes a steward's next book on the same root."""
    return lambda: JobBook(storage, clock)


def a_job(id_="one", seconds=0.0, **other):
    return JobStatus(id_, "pond", started_at=BEGAN, seconds=seconds, **other)


def test_a_job_is_known_to_the_next_steward_as_it_ended(book, again):
    errors = (FileError("a.py", "unreadable"),)
    book.report(a_job())
    done = a_job(seconds=2, state=JobState.DONE, generation=3, errors=errors, skipped={"empty": 1})
    book.report(done)
    assert again().job("one") == done


def test_an_unknown_job_is_not_found(book):
    with pytest.raises(NotFound, match="no job 'other' is known; `shoal jobs`"):
        book.job("other")


def test_progress_is_written_every_five_seconds_and_a_change_of_state_at_once(book, clock, storage):
    for seconds in range(11):
        clock.now = BEGAN + seconds
        book.report(a_job(seconds=seconds))
    assert storage.writes == 3
    book.report(a_job(seconds=10.5, state=JobState.DONE))
    assert storage.writes == 4


def test_the_furthest_report_counts_whichever_comes_last(book):
    reports = [a_job(seconds=1, files_done=1), a_job(seconds=2, files_done=2)]
    for number, order in enumerate(itertools.permutations(reports)):
        for report in order:
            book.report(replace(report, id=str(number)))
        assert book.job(str(number)).files_done == 2


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_nothing_revives_what_has_ended_for_good(book, again, state):
    ended = a_job(seconds=1, state=state)
    book.report(ended)
    late = a_job(seconds=5)
    assert book.report(late) is state
    assert book.report(replace(late, state=JobState.DONE)) is state
    assert book.job("one") == ended
    assert again().job("one") == ended


def test_a_running_job_that_nobody_reports_is_interrupted(book, clock, again):
    book.report(a_job(seconds=1))
    clock.now += SILENT_S - 1
    book.look()
    assert book.job("one").state is JobState.RUNNING
    clock.now += 1
    book.look()
    job = book.job("one")
    assert job.state is JobState.INTERRUPTED
    assert "ended over this job; the collection is as it was; the same command" in job.error
    assert again().job("one") == job


def test_a_report_without_progress_is_a_sign_of_life(book, clock):
    job = a_job(seconds=1)
    for _ in range(5):
        book.report(job)
        clock.now += SILENT_S - 1
        book.look()
    assert book.job("one") == job


def test_an_interrupted_job_that_lives_after_all_goes_on(book, clock, again):
    book.report(a_job(seconds=1))
    clock.now += SILENT_S
    book.look()
    assert book.report(a_job(seconds=0.5)) is JobState.INTERRUPTED, "that one was overtaken"
    assert book.report(a_job(seconds=70)) is JobState.RUNNING
    assert book.job("one") == again().job("one") == a_job(seconds=70)


def test_one_found_running_gets_time_to_be_heard_of_and_is_interrupted_then(book, clock, again):
    book.report(a_job(seconds=1))
    clock.now += 24 * 3600
    later = again()
    later.look()
    assert later.job("one").state is JobState.RUNNING
    clock.now += SILENT_S
    later.look()
    assert later.job("one").state is JobState.INTERRUPTED


def test_one_found_running_and_reported_again_goes_on(book, clock, again):
    book.report(a_job(seconds=1))
    clock.now += 24 * 3600
    later = again()
    later.report(a_job(seconds=24 * 3600))
    clock.now += SILENT_S - 1
    later.look()
    assert later.job("one").state is JobState.RUNNING


def test_a_job_that_died_after_it_had_published_is_done(book, clock, storage):
    book.report(a_job(seconds=1))
    assert book.may_publish("one")
    publish(storage, "one")
    clock.now += SILENT_S
    book.look()
    job = book.job("one")
    assert (job.state, job.generation, job.error) == (JobState.DONE, 1, "")


def test_one_that_died_after_it_had_published_cannot_be_cancelled(book, storage, again):
    book.report(a_job(seconds=1))
    publish(storage, "one")
    assert again().cancel("one").state is JobState.DONE


def test_what_another_job_published_is_not_ones_own(book, clock, storage):
    book.report(a_job(seconds=1))
    publish(storage, "another")
    clock.now += SILENT_S
    book.look()
    assert book.job("one").state is JobState.INTERRUPTED


def test_a_job_of_another_cluster_on_this_root_is_not_interrupted(book, clock, again):
    book.report(a_job(seconds=1))
    other = again()
    for seconds in range(0, 300, 10):
        clock.now = BEGAN + seconds
        book.report(a_job(seconds=seconds))
        other.look()
    assert other.job("one").state is JobState.RUNNING
    book.report(a_job(seconds=300, state=JobState.DONE))
    clock.now += SILENT_S + 10
    other.look()
    assert other.job("one").state is JobState.DONE


class TestCancelling:
    def test_marks_a_running_job_for_good(self, book, again):
        book.report(a_job(seconds=1, eta_s=9.0))
        job = book.cancel("one")
        assert (job.state, job.eta_s) == (JobState.CANCELLED, None)
        assert book.cancel("one") == again().job("one") == job
        assert not book.may_publish("one")
        assert not again().may_publish("one")

    def test_marks_an_interrupted_job(self, book, clock):
        book.report(a_job())
        clock.now += SILENT_S
        book.look()
        job = book.cancel("one")
        assert (job.state, job.error, job.error_kind) == (JobState.CANCELLED, "", "")

    @pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED])
    def test_leaves_one_that_has_ended_as_it_is(self, book, state):
        book.report(a_job(seconds=1, state=state))
        assert book.cancel("one").state is state

    def test_comes_too_late_for_one_that_publishes(self, book):
        book.report(a_job(seconds=1))
        assert book.may_publish("one")
        assert book.cancel("one").state is JobState.RUNNING
        book.report(a_job(seconds=2, state=JobState.DONE))
        assert book.cancel("one").state is JobState.DONE

    def test_is_possible_again_once_one_that_published_is_gone(self, book, clock):
        book.report(a_job(seconds=1))
        assert book.may_publish("one")
        clock.now += SILENT_S
        book.look()
        assert book.cancel("one").state is JobState.CANCELLED

    def test_does_not_find_an_unknown_job(self, book):
        with pytest.raises(NotFound):
            book.cancel("other")


def test_an_interrupted_job_that_asks_to_publish_lives(book, clock):
    book.report(a_job())
    clock.now += SILENT_S
    book.look()
    assert book.may_publish("one")
    assert (book.job("one").state, book.job("one").error) == (JobState.RUNNING, "")


def test_a_store_that_fails_fails_no_job_and_is_written_later(book, storage, again, caplog):
    storage.fails = True
    book.report(a_job())
    done = a_job(seconds=2, state=JobState.DONE)
    book.report(done)
    book.look()
    assert book.job("one") == done
    assert "job one is not kept: no space is left" in caplog.text
    with pytest.raises(NotFound):
        again().job("one")
    storage.fails = False
    book.look()
    assert again().job("one") == done


def test_damaged_records_are_skipped_with_a_warning(book, tmp_path, again, caplog):
    book.report(a_job())
    whole = (tmp_path / "jobs" / "one.json").read_text()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "empty": "",
        "state": json.dumps(json.loads(whole) | {"state": "psychic"}),
        "bytes": "\x00\x01",
    }
    for name, text in damaged.items():
        (tmp_path / "jobs" / f"{name}.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert [job.id for job in again().all()] == ["one"]
    assert all(f"jobs/{name}.json is skipped" in caplog.text for name in damaged)


def test_the_newest_thousand_are_remembered_and_those_that_run(book, storage, again):
    book.report(a_job("runs"))
    for number in range(REMEMBERED + 2):
        began = BEGAN + number
        state = JobState.DONE
        book.report(replace(a_job(f"{number:04}", state=state), started_at=began))
    kept = [f"{number:04}" for number in range(REMEMBERED + 1, 2, -1)]
    for each in (book, again()):
        assert [job.id for job in each.all()] == ["runs", *kept]
    assert len(storage.names("jobs")) == REMEMBERED


def test_lists_count_errors_without_their_paths(book):
    errors = tuple(FileError(f"{n}.py", "unreadable") for n in range(3))
    book.report(a_job(errors=errors, errors_omitted=2))
    (listed,) = book.all()
    assert (listed.errors, listed.errors_omitted) == ((), 5)
    assert book.job("one").errors == errors


def test_states_are_counted(book):
    book.report(a_job("a"))
    book.report(a_job("b", state=JobState.DONE))
    counts = dict.fromkeys(JobState, 0) | {JobState.RUNNING: 1, JobState.DONE: 1}
    assert book.counts() == counts


def test_a_roots_own_jobs_are_kept_out_of_what_is_indexed(storage, tmp_path):
    Catalog(storage).keep_out()
    assert (tmp_path / job_book.JOBS / ".gitignore").read_text() == "*\n"
    JobBook(storage).report(a_job())
    assert JobBook(storage).job("one") == a_job()


def publish(storage, writer):
    """Publish a generation of the job's collection."""
    catalog = Catalog(storage)
    model = Fingerprint("static", "m", "float32", "none", "", "", 2)
    catalog.publish(replace(catalog.new("pond", model, 1, ""), writer=writer))
