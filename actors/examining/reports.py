"""What is known of a node once it was examined."""

from __future__ import annotations

from dataclasses import dataclass

from actors.examining.machine import Machine
from actors.examining.storing import StorageTrial
from actors.message import Message


@dataclass(frozen=True, slots=True)
class NodeReport(Message):
    """A node as a task on it found it.

    Attributes:
        machine: What it is and has.
        storage: What came of trying the root from there.
        told_at: Its clock at the end, in seconds since 1970.
    """

    machine: Machine
    storage: StorageTrial
    told_at: float


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of a node.

    Attributes:
        address: Of the node.
        report: What a task on it found, or None where none answered.
        problem: Why none did, or "".
        ahead_s: By how much its clock is ahead of that of who asked, to a few milliseconds.
        fetch_s: How long an object of 1 MiB took from there, or None where it did not come.
    """

    address: str
    report: NodeReport | None = None
    problem: str = ""
    ahead_s: float = 0.0
    fetch_s: float | None = None
