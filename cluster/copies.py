"""Backups as callers ask for them: jobs that make and restore them, and which there are."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from actors.backups import Backups
from actors.restoring import Source
from actors.storage import Storage
from cluster.backing_up import BackupJob
from cluster.calls import Calls
from cluster.copying import opened
from cluster.protocol import Job
from cluster.restoring import RestoreJob
from cluster.running import GatewayJob
from cluster.settings import Settings
from cluster.upkeep_protocol import Backup, BackupBody, BackupsBody, RestoreBody


class Copies:
    """Makes and restores backups.

    Args:
        calls: Asks the actors.
        settings: The gateway's settings.
        storage: The root.
        start: Starts a job.
    """

    def __init__(
        self,
        calls: Calls,
        settings: Settings,
        storage: Storage,
        start: Callable[[GatewayJob], Awaitable[Job]],
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._storage = storage
        self._start = start

    async def backup(self, collection: str, body: BackupBody) -> Job:
        """Start a backup; see `ShoalClient.backup`."""
        job = BackupJob(
            secrets.token_hex(6),
            collection,
            body.to,
            self._storage,
            self._settings,
            self._calls.report,
        )
        return await self._start(job)

    async def restore(self, body: RestoreBody) -> Job:
        """Start to restore a collection; see `ShoalClient.restore`."""
        job = RestoreJob(
            secrets.token_hex(6),
            Source(body.source, body.collection, body.name or body.collection),
            body.generation,
            body.replace,
            self._storage,
            self._settings,
            self._calls.may_publish,
            self._calls.published,
            self._calls.report,
        )
        return await self._start(job)

    async def backups(self, body: BackupsBody) -> tuple[Backup, ...]:
        """Return the backups in a place; see `ShoalClient.backups`."""
        return await asyncio.to_thread(self._backups, body.place)

    def _backups(self, place: str) -> tuple[Backup, ...]:
        backups = Backups(opened(place, self._storage.root))
        records = [record for name in backups.collections() for record in backups.all(name)]
        return tuple(
            Backup(
                collection=record.collection,
                generation=record.generation,
                made_at=record.made_at.isoformat(),
            )
            for record in records
        )
