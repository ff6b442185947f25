"""A tree of processes and the memory it holds, as Linux tells it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

from .cgroup import Group


class Tree:
    """A process and all that descend from it.

    Descendants are remembered: they stay members when a parent dies and they are handed to init.
    One whose parent is gone before it was ever seen is found in a cgroup alone.
    """

    def __init__(self, root: int, group: Group | None) -> None:
        """Start with `root`; in `group`, where given, the kernel keeps the list."""
        self.root = root
        self._group = group
        self._members: dict[int, str] = {}
        self._strangers = {os.getpid()} - {root}
        self._admit(root)

    def members(self) -> list[int]:
        """Return who is alive now, the root last."""
        if self._group:
            for pid in self._group.members():
                self._admit(pid)
        else:
            self._look_for_children()
        self._members = {
            pid: at for pid, at in self._members.items() if _parent_and_start(pid)[1] == at
        }
        return sorted(self._members, key=lambda pid: pid == self.root)

    def _look_for_children(self) -> None:
        running = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        self._strangers &= running
        fresh = running - self._strangers - self._members.keys()
        while ours := {pid for pid in fresh if _parent_and_start(pid)[0] in self._members}:
            for pid in ours:
                self._admit(pid)
            fresh -= ours
        self._strangers |= fresh

    def _admit(self, pid: int) -> None:
        start = _parent_and_start(pid)[1]
        if start and pid not in self._strangers:
            self._members[pid] = start


def pss(pid: int) -> tuple[int, int]:
    """Return a process's share of memory, swapped out or not, and of shared memory, in bytes.

    The first counts private pages and its part of mapped files (Pss_Anon, Pss_File, SwapPss), the
    second tmpfs and the like (Pss_Shmem). Exact, and slow: the kernel walks the page tables.
    """
    try:
        found = _sizes(f"/proc/{pid}/smaps_rollup")
    except PermissionError:
        return resident(pid)
    except OSError:
        return 0, 0
    shared = found.get("Pss_Shmem", 0)
    return found.get("Pss", 0) - shared + found.get("SwapPss", 0), shared


def resident(pid: int) -> tuple[int, int]:
    """Return what `pss` can be at most, in microseconds: pages count in full, shared or not."""
    found = status(pid)
    counted = sum(found.get(name, 0) for name in ("RssAnon", "RssFile", "VmSwap"))
    return counted, found.get("RssShmem", 0)


def held(pids: Iterable[int], measure: Callable[[int], tuple[int, int]], store_bytes: int) -> int:
    """Add up what counts against a limit: all but the first `store_bytes` of shared memory."""
    counted, shared = 0, 0
    for pid in pids:
        more, more_shared = measure(pid)
        counted, shared = counted + more, shared + more_shared
    return counted + max(0, shared - store_bytes)


def status(pid: int) -> dict[str, int]:
    """Return the sizes in /proc/<pid>/status by name, in bytes; none where it is gone."""
    try:
        return _sizes(f"/proc/{pid}/status")
    except OSError:
        return {}


def stop(pid: int) -> None:
    """Let a process do nothing more."""
    _send(pid, signal.SIGSTOP)


def kill(pid: int) -> None:
    """End a process."""
    _send(pid, signal.SIGKILL)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _sizes(path: str) -> dict[str, int]:
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    sizes = {}
    for line in lines:
        name, _, value = line.partition(b":")
        if value.endswith(b" kB"):
            sizes[name.decode()] = int(value[:-3]) << 10
    return sizes


def _parent_and_start(pid: int) -> tuple[int, str]:
    """Return the parent and the start in ticks since boot ("" where it has ended)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, ""
    return int(fields[1]), "" if fields[0] in b"ZX" else fields[19].decode()
