"""One load at a time on a node."""

import subprocess
import sys

from actor_process import environment
from waiting import until

LOAD = """
import sys
from actors.memory import load_gate
say = lambda word: (sys.stdout.write(word + "\\n"), sys.stdout.flush())
with load_gate(lambda: say("waits")):
    say("loads")
    sys.stdin.read()
"""


def load(folder):
    return subprocess.Popen(
        [sys.executable, "-c", LOAD],
        env=environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_one_loads_and_the_next_goes_when_it_is_done(tmp_path):
    with load(tmp_path) as first:
        assert first.stdout.readline() == "loads\n"
        with load(tmp_path) as second:
            assert second.stdout.readline() == "waits\n"
            first.stdin.close()
            assert second.stdout.readline() == "loads\n"


def test_the_gate_opens_when_its_holder_is_killed(tmp_path):
    with load(tmp_path) as first:
        assert first.stdout.readline() == "loads\n"
        with load(tmp_path) as second:
            assert second.stdout.readline() == "waits\n"
            first.kill()
            assert second.stdout.readline() == "loads\n"
    assert until(lambda: first.poll() is not None)
