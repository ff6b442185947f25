"""The same as `processes`, where there is no /proc: resident memory in place of PSS."""

from __future__ import annotations

import contextlib
import os

import psutil

from .cgroup import Group
from .processes import held

__all__ = ["Tree", "held", "kill", "pss", "resident", "status", "stop"]


class Tree:
    """A process and all that descend from it; descendants are remembered."""

    def __init__(self, root: int, _group: Group | None) -> None:
        self.root = root
        self._members = {psutil.Process(root)}

    def members(self) -> list[int]:
        """Return who is alive now, the root last."""
        for process in list(self._members):
            with contextlib.suppress(psutil.Error):
                self._members.update(process.children(recursive=True))
        self._members = {one for one in self._members if _is_alive(one) and one.pid != os.getpid()}
        return sorted((one.pid for one in self._members), key=lambda pid: pid == self.root)


def pss(pid: int) -> tuple[int, int]:
    """Return the resident bytes of a process; shared memory is not told apart."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).memory_info().rss, 0
    return 0, 0


resident = pss


def status(_pid: int) -> dict[str, int]:
    """Return nothing: only Linux tells more."""
    return {}


def stop(pid: int) -> None:
    """Let a process do nothing more."""
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).suspend()


def kill(pid: int) -> None:
    """End a process."""
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).kill()


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
