"""Whether a root does what Shoal asks of it: write, write if absent, read, list, delete."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from actors.errors import ShoalError
from actors.message import Message
from actors.storage import AlreadyThere, Storage

if TYPE_CHECKING:
    from obstore.store import RetryConfig

PROBES = "probes"
"""The folder below the root where all of this happens."""
QUICKLY: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
"""Others bear with a store for minutes; who asks what is wrong wants to know soon."""
_FORGOTTEN = timedelta(hours=1)
"""Of a probe whose process was killed."""


@dataclass(frozen=True, slots=True)
class StorageTrial(Message):
    """What came of trying a root.

    Attributes:
        problem: What does not work, or "".
        took_s: How long all of it took.
        ahead_s: By how much the storage's clock is ahead of the machine's.
    """

    problem: str
    took_s: float = 0.0
    ahead_s: float = 0.0


def try_storage(root: str, expected: str = "", name: str = "") -> StorageTrial:
    """Try a root from this machine, and leave nothing there.

    Args:
        root: The storage root.
        expected: What another machine has written there, or "" for nothing.
        name: Under which name below `PROBES`.
    """
    started = time.perf_counter()
    try:
        storage = Storage(root, QUICKLY)
        problem = _unseen(storage, name, expected) if expected else ""
        ahead_s = 0.0
        if not problem:
            problem, ahead_s = _tried(storage, f"{PROBES}/{secrets.token_hex(8)}")
    except ShoalError as error:
        return StorageTrial(str(error))
    return StorageTrial(problem, time.perf_counter() - started, ahead_s)


def forget_old_probes(root: str) -> None:
    """Remove what trials have left whose process was killed."""
    with suppress(ShoalError):
        storage = Storage(root, QUICKLY)
        for name, file in storage.files(PROBES).items():
            if datetime.now(UTC) - file.changed > _FORGOTTEN:
                storage.remove(f"{PROBES}/{name}")


def _unseen(storage: Storage, name: str, expected: str) -> str:
    with suppress(FileNotFoundError):
        if storage.read(f"{PROBES}/{name}") == expected.encode():
            return ""
    return (
        f"the root {storage.root} is not the same here as on the gateway: what that wrote is not "
        "there"
    )


def _tried(storage: Storage, name: str) -> tuple[str, float]:
    """Return what does not work, and by how much the storage's clock is ahead."""
    content = secrets.token_bytes(16)
    storage.put_new(name, content)
    written = datetime.now(UTC)
    try:
        problem, changed = _compared(storage, name, content)
    finally:
        storage.remove(name)
    return problem or _left(storage, name), (changed - written).total_seconds()


def _compared(storage: Storage, name: str, content: bytes) -> tuple[str, datetime]:
    """Return what is wrong with a file that was just written, and when the storage says it was."""
    now = datetime.now(UTC)
    if _is_overwritten(storage, name):
        return "it overwrites what is there already: two writers could both publish", now
    if storage.read(name) != content:
        return "it returns something else than was written", now
    file = storage.files(PROBES).get(name.removeprefix(f"{PROBES}/"))
    if file is None:
        return "it does not list what was written just before", now
    return "", file.changed


def _is_overwritten(storage: Storage, name: str) -> bool:
    try:
        storage.put_new(name, secrets.token_bytes(16))
    except AlreadyThere:
        return False
    return True


def _left(storage: Storage, name: str) -> str:
    try:
        storage.read(name)
    except FileNotFoundError:
        return ""
    return "it still returns what was deleted"
