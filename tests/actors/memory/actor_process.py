"""Runs a glutton and looks at what is left of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from waiting import runs, until

from actors.memory.watchdog.cgroup import own_group

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
GROUP = own_group()
HAS_GROUPS = GROUP is not None and os.access(GROUP.path, os.W_OK)
NEEDS_GROUPS = pytest.mark.skipif(not HAS_GROUPS, reason="no control group for memory can be made")
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells PSS")
KERNEL_LAYERS = [pytest.param("cgroup", marks=NEEDS_GROUPS), "rlimit"]


def environment(folder):
    """Return variables under which processes share death notes and the gate, with no others."""
    paths = os.pathsep.join([str(PROJECT), str(HERE)])
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": paths}


class Glutton:
    """One process of `glutton.py`."""

    def __init__(self, folder, deed, enforcement, *more, **variables):
        self.folder = folder / f"shoal-{os.getuid()}" / "memory"
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "glutton.py"), deed, enforcement, *map(str, more)],
            env={**environment(folder), **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said = {}
        self.children = []

    def hear(self, word):
        """Read on until it says a word, and return what comes after."""
        while word not in self.said:
            line = self.process.stdout.readline()
            assert line, f"it ended without a word of {word}"
            self._note(line)
        return self.said[word]

    def kill(self):
        """Kill it when it has children, of which its watchdog knows."""
        self.hear("child")
        looks = self.watchdog.num_ctx_switches().voluntary
        until(lambda: self.watchdog.num_ctx_switches().voluntary > looks + 2)
        self.process.kill()
        self.end()

    @property
    def watchdog(self):
        """Return its watchdog's process."""
        return psutil.Process(int(self.hear("watchdog")))

    def end(self):
        """Wait until it has ended, and its watchdog too."""
        with self.process:
            for line in self.process.stdout:
                self._note(line)
        self.await_cleaning()
        return self.said

    def await_cleaning(self):
        """Wait until its watchdog has ended."""
        with_label = f"glutton.{self.process.pid}.doing"
        until(lambda: not (self.folder / with_label).exists())

    def _note(self, line):
        word, *rest = line.split()
        self.said[word] = " ".join(rest)
        if word == "child":
            self.children.append(int(rest[0]))

    @property
    def death_note(self):
        """Return what it left for its successor, or None."""
        path = self.folder / "glutton.json"
        return json.loads(path.read_text()) if path.exists() else None

    def nothing_is_left(self):
        """Tell whether its children and its control group are gone."""
        group = f"{GROUP.path}/shoal-test_glutton-{self.process.pid}" if GROUP else ""
        living = [pid for pid in self.children if psutil.pid_exists(pid)]
        return not os.path.exists(group) and not any(runs(psutil.Process(pid)) for pid in living)
