"""What a gateway can be asked to keep a cluster up: its examination, its backups."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import TypeAdapter

from cluster.operation import Call, Operation
from cluster.protocol import Job
from cluster.upkeep_protocol import Backup, BackupBody, BackupsBody, Diagnosis, RestoreBody


class UpkeepOperations:
    """Examining a cluster, and keeping copies of what it holds elsewhere."""

    @Operation
    @staticmethod
    def doctor() -> Call[Diagnosis]:
        """Have the gateway examine its cluster, every node from a task on it; takes seconds."""
        return Call("POST", "/v1/doctor", TypeAdapter(Diagnosis), patient=True)

    @Operation
    @staticmethod
    def backup(collection: str, *, to: str) -> Call[Job]:
        """Start to copy a collection's newest generation to a place; return the job at once.

        `to` is a folder of the gateway's machine, in full, or an object-store URI. What an earlier
        backup has brought there is not copied again, and a backup that was interrupted is none.
        """
        path = f"/v1/collections/{quote(collection, safe='')}/backup"
        return Call("POST", path, TypeAdapter(Job), BackupBody(to=to), patient=True)

    @Operation
    @staticmethod
    def restore(
        collection: str,
        *,
        source: str,
        name: str | None = None,
        generation: int | None = None,
        replace: bool = False,
    ) -> Call[Job]:
        """Start to bring a collection back from a backup; return the job at once.

        It takes the backup's newest generation or the one that is named, compares each file with
        the hashes that the backup pins, and publishes all of it in one step. A collection that
        exists, under `name` or its own, is refused unless it is to be replaced; its generations
        stay to go back to.
        """
        body = RestoreBody(
            source=source, collection=collection, name=name, generation=generation, replace=replace
        )
        return Call("POST", "/v1/restore", TypeAdapter(Job), body, patient=True)

    @Operation
    @staticmethod
    def backups(place: str) -> Call[tuple[Backup, ...]]:
        """Return the backups in a place, by collection, oldest first."""
        reply = TypeAdapter(tuple[Backup, ...])
        return Call("POST", "/v1/backups", reply, BackupsBody(place=place), patient=True)
