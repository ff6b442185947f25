"""Leases: what a reader of a generation keeps from being cleaned up, on any cluster of a root.

    collections/<name>/leases/<holder>.json      {"generation": 12, "expires": "…"}

A holder writes its lease first and looks for the manifest after; who removes a manifest looks for
leases after. So one of the two sees the other (see `Cleaner.remove_orphans`).
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from actors.errors import CorruptData, ShoalError
from actors.storage import Storage

_log = logging.getLogger("shoal.leases")

LIFETIME = timedelta(minutes=15)
"""Of a lease that is not renewed: its holder died."""
RENEW_EVERY_S = 300.0
"""A third of the lifetime: two renewals may fail, and clocks may differ by minutes."""
_FORGOTTEN = timedelta(hours=1)
"""After its end a lease's file is removed; a holder that slept for long writes it again."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


def new_holder(name: str) -> str:
    """Return a name under which no other process holds leases."""
    return f"{name}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class _Lease:
    generation: int
    expires: datetime


_LEASE = TypeAdapter(_Lease)


class Leases:
    """Reads and writes leases.

    Args:
        storage: The root.
        clock: Tells the time.
    """

    def __init__(self, storage: Storage, clock: Clock = utc_now) -> None:
        self._storage = storage
        self._clock = clock

    def take(self, collection: str, holder: str, generation: int) -> None:
        """Hold a generation for `LIFETIME` from now on, in place of the one held before.

        Raises:
            StorageError: The root refused the write.
        """
        lease = _Lease(generation, self._clock() + LIFETIME)
        self._storage.put(_file(collection, holder), _LEASE.dump_json(lease))

    def release(self, collection: str, holder: str) -> None:
        """Let go of what is held."""
        self._storage.remove(_file(collection, holder))

    def held(self, collection: str) -> Counter[int]:
        """Return how many hold each generation of a collection."""
        now = self._clock()
        leases = self._all(collection).values()
        return Counter(lease.generation for lease in leases if lease.expires > now)

    def forget(self, collection: str) -> None:
        """Remove the leases that ended long ago."""
        for holder, lease in self._all(collection).items():
            if self._clock() - lease.expires > _FORGOTTEN:
                self.release(collection, holder)

    def _all(self, collection: str) -> dict[str, _Lease]:
        names = self._storage.names(_folder(collection))
        holders = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        found = {holder: self._read(collection, holder) for holder in holders}
        return {holder: lease for holder, lease in found.items() if lease}

    def _read(self, collection: str, holder: str) -> _Lease | None:
        """Return a lease, or None where it was released since it was listed."""
        name = _file(collection, holder)
        try:
            return _LEASE.validate_json(self._storage.read(name))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            message = f"{name} in {self._storage.root} is damaged, so nothing is removed; delete it"
            raise CorruptData(message) from error


class Keeper:
    """Holds leases on what a process serves, in a thread of its own; failures are only logged.

    Args:
        leases: Where they are written.
        name: Of the process, for people.
    """

    def __init__(self, leases: Leases, name: str) -> None:
        self._leases = leases
        self._holder = new_holder(name)
        self._held: set[str] = set()
        self._changed = threading.Event()

    def start(self, served: Callable[[], Mapping[str, int]]) -> None:
        """Begin to renew leases until the process ends.

        Args:
            served: Returns the generation of each collection that is served.
        """
        threading.Thread(target=self._keep, args=(served,), name="leases", daemon=True).start()

    def changed(self) -> None:
        """Have the leases moved soon: other generations are served."""
        self._changed.set()

    def renew(self, served: Mapping[str, int]) -> None:
        """Hold these generations, by collection, and nothing else."""
        for collection, generation in served.items():
            self._tried(self._leases.take, collection, self._holder, generation)
        for collection in self._held - served.keys():
            self._tried(self._leases.release, collection, self._holder)
        self._held = set(served)

    def _keep(self, served: Callable[[], Mapping[str, int]]) -> None:
        while True:
            self._changed.wait(RENEW_EVERY_S)
            self._changed.clear()
            self.renew(served())

    def _tried(self, step: Callable[..., None], *args: object) -> None:
        try:
            step(*args)
        except (ShoalError, OSError) as error:
            _log.warning("a lease could not be written: %s", error)


def _folder(collection: str) -> str:
    return f"collections/{collection}/leases"


def _file(collection: str, holder: str) -> str:
    return f"{_folder(collection)}/{holder}.json"
