"""Control groups for memory, version 1 and 2."""

from __future__ import annotations

import os
import time

_FILES = {
    1: (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "memory.max_usage_in_bytes",
        "memory.oom_control",
    ),
    2: ("memory.max", "memory.current", "memory.peak", "memory.events"),
}
_SWAP_1 = "memory.memsw.limit_in_bytes"
_UNLIMITED = 1 << 60
"""Version 1 writes no limit as the largest multiple of a page; nobody has an exabyte."""
_FULL = 0.97
_REMOVE_TRIES = 250
_REMOVE_PAUSE_S = 0.02


class Group:
    """One control group, by its folder."""

    def __init__(self, path: str, version: int) -> None:
        self.path = path
        self.version = version
        self._limit, self._usage, self._peak, self._events = _FILES[version]

    def limit(self) -> int | None:
        """Return its own limit in bytes, or None where it has none."""
        try:
            limit = self._number(self._limit)
        except (OSError, ValueError):  # the root of version 2 has no such file; else it says "max"
            return None
        return limit if limit < _UNLIMITED else None

    def free(self) -> int | None:
        """Return the bytes to its limit, counting cached files as free, or None without a limit."""
        limit = self.limit()
        if limit is None:
            return None
        stat = self._table("memory.stat")
        prefix = "total_" if self.version == 1 else ""
        cached = sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
        return max(0, limit - self._number(self._usage) + cached)

    def peak(self) -> int:
        """Return the most bytes that were ever charged to it; 0 where the kernel does not tell."""
        try:
            return self._number(self._peak)
        except OSError:
            return 0

    def shared(self) -> int:
        """Return the bytes of shared memory charged to it."""
        return self._table("memory.stat").get("shmem", 0)

    def oom_kills(self) -> int:
        """Return how many of its processes the kernel killed for memory."""
        return self._table(self._events).get("oom_kill", 0)

    def full(self) -> bool:
        """Tell whether it is at its limit: the kernel takes back a page for each that it gives."""
        limit = self.limit()
        return limit is not None and self._number(self._usage) > _FULL * limit

    def major_faults(self) -> int:
        """Return how often its processes waited for a page of a file to be read."""
        return self._table("memory.stat").get("pgmajfault", 0)

    def members(self) -> list[int]:
        """Return the processes in it."""
        try:
            return [int(pid) for pid in self._read("cgroup.procs").split()]
        except OSError:
            return []

    def add(self, pid: int) -> None:
        """Move a process here; what it holds already stays charged where it was."""
        self._write("cgroup.procs", pid)

    def set_limit(self, limit: int) -> None:
        """Limit memory, and memory with swap, to `limit` bytes."""
        if self.version == 2:  # noqa: PLR2004 - the version
            self._write(self._limit, limit)
            return
        names = [self._limit] + [_SWAP_1] * os.path.exists(f"{self.path}/{_SWAP_1}")
        before = self.limit()
        rises = before is not None and limit > before
        for name in reversed(names) if rises else names:  # with swap may never be below without
            self._write(name, limit)

    def below(self, name: str, limit: int) -> Group:
        """Make a group below this one that is killed as a whole; version 1 kills one process."""
        made = Group(f"{self.path}/{name}", self.version)
        os.mkdir(made.path)
        try:
            made.set_limit(limit)
            if self.version == 2:  # noqa: PLR2004 - the version
                made._write("memory.swap.max", 0)
                made._write("memory.oom.group", 1)
        except OSError:
            os.rmdir(made.path)
            raise
        return made

    def remove(self) -> None:
        """Remove it as soon as its last process has ended; one that never ends keeps it."""
        for _ in range(_REMOVE_TRIES):
            try:
                os.rmdir(self.path)
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(_REMOVE_PAUSE_S)

    def limits_children(self) -> bool:
        """Tell whether groups below it can have limits; version 1 always can."""
        return self.version == 1 or "memory" in self._read("cgroup.subtree_control").split()

    def with_ancestors(self) -> list[Group]:
        """Return this group and those around it, as far as they can be seen."""
        found, path = [], self.path
        while os.path.exists(f"{path}/cgroup.procs"):
            found.append(Group(path, self.version))
            path = os.path.dirname(path)
        return found

    def _read(self, name: str) -> str:
        with open(f"{self.path}/{name}", encoding="ascii") as file:
            return file.read()

    def _number(self, name: str) -> int:
        return int(self._read(name))

    def _table(self, name: str) -> dict[str, int]:
        try:
            lines = self._read(name).splitlines()
        except OSError:
            return {}
        return {key: int(value) for key, _, value in (line.partition(" ") for line in lines)}

    def _write(self, name: str, value: int) -> None:
        with open(f"{self.path}/{name}", "w", encoding="ascii") as file:
            file.write(str(value))


def own_group(proc: str = "/proc/self") -> Group | None:
    """Return the group that accounts for the calling process's memory, where one can be seen."""
    try:
        with open(f"{proc}/cgroup", encoding="utf-8") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
        with open(f"{proc}/mountinfo", encoding="utf-8") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return None
    for version, path in _memberships(groups):
        for mount in mounts:
            if _mounts_memory(mount, version):
                return Group(_visible(path, mount[3], mount[4]), version)
    return None


def _memberships(groups: list[list[str]]) -> list[tuple[int, str]]:
    """Return version and path of the groups that may account for memory, version 1 first."""
    first = [(1, path) for _, names, path in groups if "memory" in names.split(",")]
    return first + [(2, path) for _, names, path in groups if not names]


def _mounts_memory(mount: list[str], version: int) -> bool:
    kind = mount[mount.index("-") + 1]
    if version == 1:
        return kind == "cgroup" and "memory" in mount[-1].split(",")
    return kind == "cgroup2"


def _visible(path: str, root: str, mount_point: str) -> str:
    """Return where a group is seen; in a container its path may be the host's, and is not."""
    inside = path.removeprefix(root.rstrip("/"))
    folder = mount_point + inside.rstrip("/")
    return folder if os.path.exists(folder) else mount_point
