"""The watchdog's process: ends a tree that outgrows its limit, and cleans up after it."""

from __future__ import annotations

import os
import select
import sys
import time

from .cgroup import Group
from .note import read_doing, write_note

if sys.platform == "linux":
    from . import processes as system
else:
    from . import portable as system

_FASTEST = 4 << 30
"""Bytes a second: about what one core touches at most. The next look comes before the limit can."""
_SOONEST_S = 0.01
_LATEST_S = 0.25
_CLOSE = 0.8
"""Of the limit: above, resident memory alone does not say enough, and PSS is read now and then."""
_SHARE = 20
"""At most one part in so many of the time goes into reading PSS of a tree that does not grow."""
_AT_CAP = 0.9
"""Of the cap: a process that ended above it most likely aborted there."""
_MOSTLY = 0.9
_THRASHING_S = 2.0
"""A group that is full and reads pages of files again and again for so long gets nothing else done:
what it maps needs more than the limit. The kernel would let it go on for ever."""
_RECENT_S = 1.0
_STEP = 1 << 20
"""Bytes: smaller changes are not worth setting a group's limit again."""
_STOP_ROUNDS = 20


class Watch:
    """One tree under watch."""

    def __init__(self, job: dict[str, str]) -> None:
        """Read the job: see `actors.memory.enforce.Watchdog`."""
        self.limit, self.store, self.base, self.cap = (
            int(job[name]) for name in ("limit", "store", "base", "cap")
        )
        self.note, self.doing = job["note"], job["doing"]
        self.group = Group(job["group"], int(job["version"])) if job["group"] else None
        self.tree = system.Tree(int(job["pid"]), self.group)
        self.held = self.peak = self.data = 0
        self._exact = self._bound = self._granted = 0
        self._fresh_until = 0.0
        self._faults = 0
        self._fault_at = self._easy_at = time.monotonic()

    def run(self) -> None:
        """Watch until the tree's root has ended, by itself or by us."""
        death = _Death(self.tree)
        _say_ready()
        while not death.within(self._pause_s()):
            reason = self._look()
            if reason:
                self._stop_all()
                self._leave_note(reason)
                break
        else:
            self._leave_note(self._reason_of_death())
        for pid in self.tree.members():
            system.kill(pid)
        if self.group:
            self.group.remove()
        _remove(self.doing)

    def _look(self) -> str:
        """Measure; return why the tree must end, or ""."""
        if self.group and self.group.oom_kills():
            return "kernel"
        self.held = self._measure(self.tree.members())
        self.peak = max(self.peak, self.held)
        if self.held > self.limit or (self.group and self._thrashes(self.group)):
            return "limit"
        if self.cap:
            self.data = system.status(self.tree.root).get("VmData", 0) or self.data
        if self.group:
            self._grant_shared(self.group)
        return ""

    def _measure(self, pids: list[int]) -> int:
        """Return what is held, read exactly only where it may matter.

        Since the last exact reading the tree grew at most by what its resident memory did.
        """
        bound = system.held(pids, system.resident, self.store)
        held = min(bound, self._exact + max(0, bound - self._bound))
        began = time.monotonic()
        is_stale = bound > _CLOSE * self.limit and began > self._fresh_until
        if held > self.limit or is_stale:
            held = self._exact = system.held(pids, system.pss, self.store)
            self._bound = bound
            now = time.monotonic()
            self._fresh_until = now + max(_LATEST_S, _SHARE * (now - began))
        return held

    def _thrashes(self, group: Group) -> bool:
        """Tell whether the tree has been in need of more than its limit for some time."""
        now = time.monotonic()
        if self.held < _MOSTLY * self.limit or not group.full():
            self._easy_at = now
            return False
        before, self._faults = self._faults, group.major_faults()
        if self._faults != before:
            self._fault_at = now
        elif now - self._fault_at > _RECENT_S:
            self._easy_at = now
        return now - self._easy_at > _THRASHING_S

    def _pause_s(self) -> float:
        return max(_SOONEST_S, min(_LATEST_S, (self.limit - self.held) / _FASTEST))

    def _grant_shared(self, group: Group) -> None:
        """Shared memory is charged to who touches it first; the node's store is not the actor's."""
        granted = min(group.shared(), self.store) if self.store else 0
        if abs(granted - self._granted) > _STEP:
            try:
                group.set_limit(self.base + granted)
            except OSError:  # more is in use than it would allow: again at the next look
                return
            self._granted = granted

    def _stop_all(self) -> None:
        """Let none of the tree run, so that none can make a child while they are ended."""
        stopped: set[int] = set()
        for _ in range(_STOP_ROUNDS):
            fresh = set(self.tree.members()) - stopped
            if not fresh:
                return
            for pid in fresh:
                system.stop(pid)
            stopped |= fresh

    def _reason_of_death(self) -> str:
        if self.group and self.group.oom_kills():
            return "kernel"
        is_busy = read_doing(self.doing)[1] != '""'
        return "allocation" if self.cap and self.data > _AT_CAP * self.cap and is_busy else ""

    def _leave_note(self, reason: str) -> None:
        if not reason:
            return
        if self.group and reason == "kernel":
            self.peak = max(self.peak, self.limit - self.base + self.group.peak())
        doing = read_doing(self.doing)
        write_note(self.note, doing, reason, self.held, self.peak, self.limit)


class _Death:
    """Waits for the end of a tree's root."""

    def __init__(self, tree: system.Tree) -> None:
        self._tree = tree
        self._poll = None
        if sys.platform == "linux":
            try:
                handle = os.pidfd_open(tree.root)
            except ProcessLookupError:
                return
            except OSError:  # a kernel before 5.3
                return
            self._poll = select.poll()
            self._poll.register(handle, select.POLLIN)

    def within(self, seconds: float) -> bool:
        """Return whether it has ended; wait at most so long for it."""
        if self._poll:
            return bool(self._poll.poll(seconds * 1000))
        time.sleep(seconds)
        return self._tree.root not in self._tree.members()


def _say_ready() -> None:
    os.write(1, b"%d\n" % os.getpid())
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _detach(home: str, version: str) -> None:
    """Leave the actor's group and its children: it may be killed with them, and must not be."""
    if home:
        Group(home, int(version)).add(os.getpid())
    if hasattr(os, "fork") and os.fork():
        os._exit(0)
    if hasattr(os, "setpriority"):
        try:
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        except PermissionError:
            return


def main() -> None:
    """Do the job that the arguments describe, as name=value."""
    job = dict(argument.split("=", 1) for argument in sys.argv[1:])
    _detach(job["home"], job["version"])
    Watch(job).run()
