"""Which of the clusters of a root looks after it: one at a time merges and cleans up.

    leaders/00000012.json      {"cluster": "…", "expires": "…"}

The highest number leads until it expires. The next number is created only where it is free, so of
two clusters that take over exactly one does. All this saves is work that is done twice: what keeps
a root sound is that manifests are published in the same way, whoever does it.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from actors.errors import ShoalError
from actors.leases import Clock, utc_now
from actors.storage import AlreadyThere, Storage

_log = logging.getLogger("shoal.leadership")

LEADERS = "leaders"
"""The folder below the root where leases on its care are kept."""
LIFETIME = timedelta(seconds=60)
"""So long after a cluster has ended, another takes over."""
RENEW_EVERY = timedelta(seconds=20)
"""A third of the lifetime: two renewals may fail. An object store is asked three times for each."""
_NUMBERED = re.compile(r"\d{8}\.json")


@dataclass(frozen=True, slots=True)
class _Lease:
    cluster: str
    expires: datetime


_LEASE = TypeAdapter(_Lease)


class Leadership:
    """A cluster's claim to look after a root; belongs to one thread.

    Args:
        storage: The root.
        cluster: Names the cluster; a steward that starts again goes on with its cluster's lease.
        clock: Tells the time.
    """

    def __init__(self, storage: Storage, cluster: str, clock: Clock = utc_now) -> None:
        self._storage = storage
        self._cluster = cluster
        self._clock = clock
        self._renewed: datetime | None = None
        self._failing = False

    @property
    def is_held(self) -> bool:
        """Whether this cluster looked after the root when it was last asked."""
        return self._renewed is not None

    def hold(self) -> bool:
        """Take the lease, or renew it; tell whether this cluster is to look after the root.

        A root that cannot be written is looked after by nobody, and the log says so once.
        """
        now = self._clock()
        if self._renewed and now - self._renewed < RENEW_EVERY:
            return True
        try:
            self._renewed = now if self._take(now) else None
            self._failing = False
        except ShoalError as error:
            if not self._failing:
                _log.warning("the root is neither merged nor cleaned up: %s", error)
            self._renewed, self._failing = None, True
        return self.is_held

    def _take(self, now: datetime) -> bool:
        newest = max(self._numbers(), default=0)
        lease = self._read(newest)
        mine = _LEASE.dump_json(_Lease(self._cluster, now + LIFETIME))
        if lease and lease.cluster == self._cluster:
            self._storage.put(_file(newest), mine)
        elif lease and lease.expires > now:
            return False
        else:
            newest += 1
            try:
                self._storage.put_new(_file(newest), mine)
            except AlreadyThere:
                return False
        return self._is_newest(newest)

    def _is_newest(self, number: int) -> bool:
        """Tell whether nobody has a higher number, which may be long since; remove lower ones."""
        numbers = self._numbers()
        for lower in (n for n in numbers if n < number):
            self._storage.remove(_file(lower))
        return max(numbers, default=0) == number

    def _numbers(self) -> list[int]:
        names = self._storage.names(LEADERS)
        return [int(name.removesuffix(".json")) for name in names if _NUMBERED.fullmatch(name)]

    def _read(self, number: int) -> _Lease | None:
        """Return a lease; None where there is none, or none that can be read."""
        try:
            return _LEASE.validate_json(self._storage.read(_file(number)))
        except (FileNotFoundError, ValidationError):
            return None


def _file(number: int) -> str:
    return f"{LEADERS}/{number:08}.json"
