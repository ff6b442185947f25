"""Whether a limit on memory holds here: a process of its own is capped and goes beyond."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from actors.memory.watchdog.cgroup import Group
from actors.message import Message

_MIB = 1 << 20
_HEADROOM = 48 * _MIB
_TAKEN = 4 * _HEADROOM
"""Far beyond: a group with swap of its own, or shared memory, is not to hide the difference."""
_PATIENCE_S = 30.0
_CODE = f"""
from actors.memory.enforce import cap_process
cap = cap_process("doctor", {_HEADROOM}, "auto")
print(cap.text, cap.group.path if cap.group else "", cap.group.version if cap.group else 0,
      sep="|", flush=True)
taken = b"x" * {_TAKEN}
cap.lift()
print("taken", flush=True)
"""


class Outcome(StrEnum):
    """What became of a process that took more than its limit."""

    ENDED = "ended"
    REFUSED = "refused"
    ALLOWED = "allowed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class EnforcementTrial(Message):
    """What the kernel does about a limit.

    Attributes:
        by: What enforces it ("cgroup v2", "RLIMIT_DATA"), or "" for nothing but the watchdog.
        outcome: What became of a process beyond it.
    """

    by: str
    outcome: Outcome


def try_enforcement() -> EnforcementTrial:
    """Cap a process of its own at some 50 MiB more than it holds, and have it take 200."""
    command = [sys.executable, "-P", "-c", _CODE]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command,
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return EnforcementTrial("", Outcome.UNKNOWN)
    said = done.stdout.splitlines()
    if not said:
        return EnforcementTrial("", Outcome.UNKNOWN)
    by, group, version = said[0].split("|")
    if group and os.path.isdir(group):  # who is ended in it cannot remove it
        with suppress(OSError):
            Group(group, int(version)).remove()
    return EnforcementTrial(by, _outcome(done, "taken" in said))


def _outcome(done: subprocess.CompletedProcess[str], taken: bool) -> Outcome:
    if taken:
        return Outcome.ALLOWED
    if "MemoryError" in done.stderr:
        return Outcome.REFUSED
    return Outcome.ENDED if done.returncode < 0 else Outcome.UNKNOWN
