"""What holds an actor to its limit: a control group or a cap on allocations, and a watchdog."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

import psutil

from actors.errors import InvalidRequest
from actors.memory.notes import Ledger
from actors.memory.rlimit import cap_data, uncap_data
from actors.memory.watchdog.cgroup import Group, own_group

Enforcement = Literal["auto", "cgroup", "rlimit", "watchdog"]

_log = logging.getLogger("shoal.memory")

_WATCHDOG = "import sys; sys.path.insert(0, {!r}); from watchdog.watch import main; main()"
_ISOLATED = ["-I", "-S"] if sys.platform == "linux" else []
"""Without site-packages a watchdog holds 10 MB; elsewhere it needs psutil."""
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Cap:
    """What the kernel enforces.

    Attributes:
        text: Its name, for people; empty where there is none.
        group: The group that the actor was moved to.
        home: The group it came from.
        base: What the group's limit is without shared memory, in bytes.
        data: The cap on VmData, in bytes, or 0.
    """

    text: str = ""
    group: Group | None = None
    home: Group | None = None
    base: int = 0
    data: int = 0

    def lift(self) -> None:
        """Let the process go on without it."""
        if self.group and self.home:
            for pid in self.group.members():
                self.home.add(pid)
            self.group.remove()
        if self.data:
            uncap_data()


def cap_process(name: str, headroom_bytes: int, enforcement: Enforcement) -> Cap:
    """Cap this process and its children at what they hold now and `headroom_bytes`.

    Raises:
        InvalidRequest: The enforcement asked for cannot be had here.
    """
    if enforcement in ("auto", "cgroup"):
        try:
            return _group_cap(name, headroom_bytes)
        except OSError as error:
            _log.debug("no control group for %s: %s", name, error)
            if enforcement == "cgroup":
                message = f"no control group can be made here ({error}); take enforcement auto"
                raise InvalidRequest(message) from error
    if enforcement == "watchdog" or sys.platform != "linux":
        return Cap()
    return Cap("RLIMIT_DATA", data=cap_data(headroom_bytes))


def _group_cap(name: str, headroom_bytes: int) -> Cap:
    home = own_group()
    if home is None:
        message = "no group accounts for memory"
        raise FileNotFoundError(message)
    own_name = f"shoal-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}-{os.getpid()}"
    group = _parent(home).below(own_name, headroom_bytes)
    try:
        group.add(os.getpid())
    except OSError:
        group.remove()
        raise
    return Cap(f"cgroup v{group.version}", group, home, headroom_bytes)


def _parent(home: Group) -> Group:
    """Return where a group can be made.

    In version 2 a group with processes has no limited children. A sibling will do, where the
    process's own group has no limit that would be evaded.
    """
    if home.limits_children() or home.limit() is not None:
        return home
    return home.with_ancestors()[:2][-1]


class Watchdog:
    """A process that ends this one's tree when it holds more than its limit."""

    def __init__(self, limit_bytes: int, store_bytes: int, cap: Cap, ledger: Ledger) -> None:
        """Start it; returns when it watches."""
        job = {
            "pid": os.getpid(),
            "limit": limit_bytes,
            "store": store_bytes,
            "base": cap.base,
            "cap": cap.data,
            "group": cap.group.path if cap.group else "",
            "home": cap.home.path if cap.home else "",
            "version": cap.group.version if cap.group else 0,
            "note": ledger.note_path,
            "doing": ledger.doing_path,
        }
        code = _WATCHDOG.format(str(Path(__file__).parent))
        arguments = [f"{name}={value}" for name, value in job.items()]
        self._starter = _start([sys.executable, *_ISOLATED, "-c", code, *arguments])
        self._process = _announced(self._starter)

    def runs(self) -> bool:
        """Tell whether it still watches."""
        with contextlib.suppress(psutil.Error):
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        return False

    def end(self) -> None:
        """End it; the limit is watched by nobody then."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.kill()
            self._process.wait(_END_S)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )


def _announced(starter: subprocess.Popen[bytes]) -> psutil.Process:
    """Wait until it watches; where there is fork, in a child handed to init, to outlive us."""
    with cast("IO[bytes]", starter.stdout) as output:
        answer = output.readline()
    if hasattr(os, "fork"):
        starter.wait()
    if not answer:
        message = f"the memory watchdog ended at once with exit code {starter.wait()}"
        raise RuntimeError(message)
    return psutil.Process(int(answer))
