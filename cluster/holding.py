"""Generations held by a lease, so that clean-up leaves their files, while something reads them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.catalog import Catalog, Manifest
from actors.errors import ShoalError, StorageError
from actors.leases import RENEW_EVERY_S, Leases, new_holder
from actors.storage import Storage

_log = logging.getLogger("shoal.holding")


class Holding:
    """Takes leases for as long as a block runs.

    Args:
        storage: The root.
    """

    def __init__(self, storage: Storage) -> None:
        self._catalog = Catalog(storage)
        self._leases = Leases(storage)

    @asynccontextmanager
    async def leased(
        self, collection: str, generation: int, purpose: str
    ) -> AsyncIterator[Manifest]:
        """Keep a generation from being cleaned up while the block runs.

        Args:
            collection: The collection.
            generation: Its number.
            purpose: Of the lease, in a word, for people.

        Raises:
            NotFound: It is not retained.
        """
        await asyncio.to_thread(self._catalog.retained, collection, generation)
        holder = new_holder(purpose)
        held = (collection, holder, generation)
        await self._take(*held)
        renewing = asyncio.create_task(self._renew(*held))
        try:
            # Once more: what was cleaned up before the lease was there is gone.
            yield await asyncio.to_thread(self._catalog.retained, collection, generation)
        finally:
            renewing.cancel()
            with contextlib.suppress(ShoalError):  # then it ends by itself
                await asyncio.to_thread(self._leases.release, collection, holder)

    async def _take(self, collection: str, holder: str, generation: int) -> None:
        """Take a lease; where none can be written, the newest generation is safe without it."""
        try:
            await asyncio.to_thread(self._leases.take, collection, holder, generation)
        except StorageError as error:
            newest = await asyncio.to_thread(self._catalog.get, collection)
            if newest.generation != generation:
                raise
            _log.warning(
                "generation %d of %s is read without lease: %s", generation, collection, error
            )

    async def _renew(self, collection: str, holder: str, generation: int) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                await asyncio.to_thread(self._leases.take, collection, holder, generation)
            except ShoalError as error:
                _log.warning("the lease %s could not be renewed: %s", holder, error)
