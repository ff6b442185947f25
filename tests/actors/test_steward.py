"""What the steward does every few seconds: a step that fails keeps no other from being done."""

import threading

from actors.steward import Steward


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
