"""What keeping a cluster up asks over HTTP, and is answered: its examination, its backups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cluster.protocol import MAX_PATH_CHARS, CollectionName, GenerationNumber, Message

Place = Annotated[
    str,
    Field(pattern=r"^(/|[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*://).", max_length=MAX_PATH_CHARS),
]
"""A folder of the gateway's machine, in full, or an object-store URI."""
Severity = Literal["ok", "note", "warning", "error"]


class Check(Message):
    """One thing that was looked at.

    `where` is the machine: "here" for the one that asks, "gateway", or a node's address.
    """

    area: str
    where: str
    severity: Severity
    what: str
    way_out: str = ""


class Diagnosis(Message):
    """What a gateway found out about its cluster; `clock` is its time in seconds since 1970."""

    checks: tuple[Check, ...]
    unchecked: tuple[str, ...] = Field((), description="What could not be looked at, and why")
    versions: dict[str, str] = Field({})
    clock: float = 0.0


class BackupBody(Message):
    """Where a collection's backup goes."""

    to: Place


class BackupsBody(Message):
    """Where backups are looked for."""

    place: Place


class Backup(Message):
    """One backup in a place."""

    collection: str
    generation: int
    made_at: str


class RestoreBody(Message):
    """What is restored, from where, and as what."""

    source: Place
    collection: CollectionName = Field(description="Its name in the backup")
    name: CollectionName | None = Field(
        None, description="Its name from now on; as it was if absent"
    )
    generation: GenerationNumber | None = Field(
        None, description="Of which there is a backup; the newest one if absent"
    )
    replace: bool = Field(False, description="It may stand for a collection of that name")
