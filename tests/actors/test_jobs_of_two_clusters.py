"""Two clusters on one root, as while one is upgraded to another: each knows of the other's jobs."""

import pytest

from actors.errors import NotFound
from actors.job_book import SILENT_S, JobBook
from actors.messages import JobState, JobStatus
from actors.storage import Storage

BEGAN = 1e9


class Clock:
    now = BEGAN

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def books(tmp_path, clock):
    """Return the books of both clusters."""
    return tuple(JobBook(Storage(str(tmp_path)), clock) for _ in range(2))


def a_job(seconds=0.0, **other):
    return JobStatus("one", "pond", started_at=BEGAN, seconds=seconds, **other)


def reported(book, clock, seconds):
    """Let time go by, and report the job as its runner does."""
    clock.now = BEGAN + seconds
    return book.report(a_job(seconds, files_done=seconds))


def test_a_job_that_the_other_started_is_found_and_followed_to_its_end(books, clock):
    old, new = books
    for seconds in range(0, 60, 5):
        reported(old, clock, seconds)
    assert new.job("one").files_done == 55
    for seconds in range(60, 120, 5):
        reported(old, clock, seconds)
    assert new.job("one").files_done > 100
    old.report(a_job(121, state=JobState.DONE))
    clock.now = BEGAN + 135
    assert new.job("one").state is JobState.DONE


def test_one_whose_cluster_ended_is_interrupted_however_often_it_is_asked_for(books, clock):
    old, new = books
    reported(old, clock, 0)
    for _ in range(int(SILENT_S) + 1):
        assert new.job("one")
        clock.now += 1
        new.look()
    assert new.job("one").state is JobState.INTERRUPTED


def test_one_that_is_cancelled_through_the_other_hears_of_it_and_publishes_nothing(books, clock):
    old, new = books
    reported(old, clock, 0)
    assert new.cancel("one").state is JobState.CANCELLED
    reported(old, clock, 5)
    assert reported(old, clock, 10) is JobState.CANCELLED
    assert not old.may_publish("one")
    assert new.job("one").state is JobState.CANCELLED


def test_one_that_is_cancelled_through_the_other_just_before_it_publishes_does_not(books, clock):
    old, new = books
    reported(old, clock, 0)
    new.cancel("one")
    assert not old.may_publish("one")


@pytest.mark.parametrize("job_id", ["", "../jobs/one", "one.json", "jobs/one", "é"])
def test_what_is_no_id_is_looked_for_nowhere(books, clock, job_id):
    old, new = books
    reported(old, clock, 0)
    with pytest.raises(NotFound):
        new.job(job_id)
