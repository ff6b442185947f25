"""Scaling: what is asked for, what it costs, and where it is remembered."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace

from pydantic import TypeAdapter, ValidationError

from actors.errors import MemoryLimitExceeded, StorageError
from actors.messages import Scale
from actors.storage import Storage

_log = logging.getLogger("shoal.scaling")

SCALES = "scale"
"""The folder below the root where scales are remembered."""
_MIB = 1 << 20


def router_names(scale: Scale) -> tuple[str, ...]:
    """Return the actor names of the routers."""
    return tuple(f"router-{number}" for number in range(scale.routers))


def changed(scale: Scale, **counts: int | None) -> Scale:
    """Return the scale with the counts that are not None."""
    return replace(scale, **{kind: n for kind, n in counts.items() if n is not None})


@dataclass(frozen=True, slots=True)
class Need:
    """Further actors of one kind and what each of them may hold.

    Attributes:
        kind: In words: "host", "router", "replica of m".
        count: How many more.
        limit_bytes: Memory limit of each.
        setting: What lowers it.
    """

    kind: str
    count: int
    limit_bytes: int
    setting: str

    def __str__(self) -> str:
        """Return as in "2 of host at 512 MiB (SHOAL_HOST_MEMORY)"."""
        return f"{self.count} of {self.kind} at {self.limit_bytes // _MIB} MiB ({self.setting})"


def refuse_beyond(free_bytes: int, needs: list[Need]) -> None:
    """Raise where actors would wait for memory for ever.

    Args:
        free_bytes: What the cluster could still give to actors.
        needs: What is to be made.

    Raises:
        MemoryLimitExceeded: It is more than that.
    """
    needed = sum(need.count * need.limit_bytes for need in needs)
    if needed > free_bytes:
        message = (
            f"that takes {needed // _MIB} MiB more ({', '.join(map(str, needs))}), and the cluster "
            f"has {max(free_bytes, 0) // _MIB} MiB left for actors; nothing was changed: ask for "
            "fewer, add a machine, or start the gateway with less memory for each"
        )
        raise MemoryLimitExceeded(message)


@dataclass(frozen=True, slots=True)
class _Record:
    """What is remembered.

    Attributes:
        asked: The scale that was asked for.
        configured: The scale that the settings named then.
    """

    asked: Scale
    configured: Scale


_RECORD = TypeAdapter(_Record)


class ScaleFile:
    """Remembers under the root what was asked for, beyond the life of any actor and gateway.

    An actor that Ray restarts is made with its first configuration, and where the gateway starts
    Ray, all actors end with it: neither knows what was asked for since. Clusters that share a root
    have a file each.

    Args:
        storage: The root.
        name: The file's name in it.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name

    def wanted(self, configured: Scale) -> Scale:
        """Return what was asked for; a setting that was changed since then counts instead."""
        try:
            record = _RECORD.validate_json(self._storage.read(self._name))
        except FileNotFoundError:
            return configured
        except (ValidationError, StorageError) as error:
            _log.warning("the scale is that of the settings, because of %s: %s", self._name, error)
            return configured
        kept = {
            kind: count
            for kind, count in asdict(record.asked).items()
            if getattr(record.configured, kind) == getattr(configured, kind)
        }
        return replace(configured, **kept)

    def keep(self, asked: Scale, configured: Scale) -> None:
        """Remember what was asked for; written as a whole or not at all."""
        self._storage.put(self._name, _RECORD.dump_json(_Record(asked, configured), indent=1))
