"""What the steward does every few seconds, where a step that fails keeps no other; and to jobs."""

import threading

from actors.job_book import JobBook
from actors.messages import JobState, JobStatus
from actors.steward import Steward
from actors.storage import Storage


class Rounds(Steward):
    """A steward of nothing, whose steps are noted; one of them fails as often as it is told."""

    def __init__(self, failing, rounds):
        self.done = []
        self._failing = [failing] * 2
        self._left = rounds
        self._has_taken_over = False
        self._stop = threading.Event()
        self._stop.wait = self._next_round

    def _next_round(self, _timeout):
        self._left -= 1
        return self._left <= 0

    def _step(self, name):
        self.done.append(name)
        if name in self._failing:
            self._failing.remove(name)
            raise OSError(name)

    def _take_over(self):
        self._step("take over")
        self._has_taken_over = True

    def _mend(self):
        self._step("mend")

    def _look_after_jobs(self):
        self._step("jobs")

    def retire(self):
        self._step("retire")

    def _merge(self):
        self._step("merge")


def test_taking_over_is_tried_until_it_succeeds():
    steward = Rounds("take over", rounds=5)
    steward._look_after_all()
    firsts = [step for step in steward.done if step in ("take over", "mend")]
    assert firsts == ["take over"] * 3 + ["mend"] * 2


def test_a_step_that_fails_keeps_no_other_from_being_done():
    steward = Rounds("mend", rounds=4)
    steward._look_after_all()
    rest = ["jobs", "retire", "merge"]
    assert steward.done == ["take over", *rest] + ["mend", *rest] * 3


class OfJobs(Steward):
    """A steward of jobs alone."""

    def __init__(self, storage):
        self._jobs = JobBook(storage)


def test_cancelling_ends_the_actor_that_runs_a_job_and_no_other(tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr("actors.steward.end_actor", ended.append)
    steward = OfJobs(Storage(str(tmp_path)))
    for job_id, state in (("runs", JobState.RUNNING), ("done", JobState.DONE)):
        steward.report(JobStatus(job_id, "pond", state=state))
    assert steward.cancel("done").state is JobState.DONE
    assert ended == []
    assert steward.cancel("runs").state is JobState.CANCELLED
    assert ended == ["job-runs"]
    assert not steward.may_publish("runs")


def test_an_actor_that_publishes_is_let_alone(tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr("actors.steward.end_actor", ended.append)
    steward = OfJobs(Storage(str(tmp_path)))
    steward.report(JobStatus("runs", "pond"))
    assert steward.may_publish("runs")
    assert steward.cancel("runs").state is JobState.RUNNING
    assert ended == []
