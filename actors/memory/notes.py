"""What an actor's death leaves for its successor, and what it says of its work meanwhile."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.memory.budget import MIB
from actors.memory.folder import private_folder

_log = logging.getLogger("shoal.memory")

_LABEL_CHARS = 120
_WAIT_S = 2.0
"""For the predecessor's watchdog to end: about as long as a restart takes anyway."""
_PAUSE_S = 0.02
_SUFFIXES = (".json", ".starts")
_KEPT_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class DeathNote:
    """How an actor died for memory.

    Attributes:
        reason: "limit": it held more than its limit and was ended; "kernel": the kernel ended it at
            its group's limit; "allocation": it ended by itself, most likely because it could not
            allocate.
        doing: The work in hand.
        pss: Bytes held when last seen.
        peak: The most bytes that it held.
        limit: Its limit in bytes.
        at: Seconds since the epoch.
        deaths: How many in a row, this one included.
    """

    reason: Literal["limit", "kernel", "allocation"]
    doing: str
    pss: int
    peak: int
    limit: int
    at: float
    deaths: int

    def described(self) -> str:
        """Return the rest of a sentence that begins with the actor's name."""
        how = {
            "limit": "was ended at its memory limit",
            "kernel": "was ended by the kernel at its memory limit",
            "allocation": "ended because it could allocate no more memory",
        }[self.reason]
        return (
            f"{how} of {self.limit / MIB:.0f} MiB (it held up to {self.peak / MIB:.0f} MiB) over: "
            f"{self.doing or 'nothing in particular'}"
        )


class Ledger:
    """The files by which an actor, its watchdog and its successor know of one another.

    Args:
        key: The same for an actor and its successors; a file's name.

    Attributes:
        last_death: How the predecessor died for memory, or None.
        starts: How often the actor was started, this time included.
    """

    def __init__(self, key: str) -> None:
        folder = private_folder()
        self.note_path = folder / f"{key}.json"
        self.doing_path = folder / f"{key}.{os.getpid()}.doing"
        self._await_predecessor(folder, key)
        _forget_the_long_dead(folder)
        self.starts = _counted(folder / f"{key}.starts")
        self.last_death = _read(self.note_path)
        self._deaths = self.last_death.deaths if self.last_death else 0
        self._labels: list[str] = []
        self._lock = threading.Lock()
        self._file = self.doing_path.open("wb", buffering=0)
        self._write()

    @contextmanager
    def doing(self, label: str) -> Iterator[None]:
        """Say what is being done while the block runs; costs microseconds."""
        with self._lock:
            self._labels.append(label)
            self._write()
        try:
            yield
        finally:
            with self._lock:
                self._labels.remove(label)
                self._write()

    def forgive(self) -> None:
        """Start to count deaths again, and remove the note."""
        with self._lock:
            self._deaths = 0
            self.note_path.unlink(missing_ok=True)
            self._write()

    def close(self) -> None:
        """Remove what only the living need."""
        self._file.close()
        self.doing_path.unlink(missing_ok=True)

    def _write(self) -> None:
        label = "; ".join(self._labels)[:_LABEL_CHARS]
        self._file.seek(0)
        self._file.write(f"{self._deaths} {json.dumps(label)}\n".encode())

    def _await_predecessor(self, folder: Path, key: str) -> None:
        """Wait until its watchdog has written the note: it removes the label last."""
        give_up = time.monotonic() + _WAIT_S
        while left := [path for path in folder.glob(f"{key}.*.doing") if path != self.doing_path]:
            if time.monotonic() > give_up:  # the watchdog died with it
                for path in left:
                    path.unlink(missing_ok=True)
                return
            time.sleep(_PAUSE_S)


def _counted(path: Path) -> int:
    """Add one to the number in a file, and return it."""
    try:
        number = int(path.read_text("ascii"))
    except (OSError, ValueError):
        number = 0
    path.write_text(str(number + 1), "ascii")
    return number + 1


def _forget_the_long_dead(folder: Path) -> None:
    """Remove what actors left that nobody will start again."""
    oldest = time.time() - _KEPT_S
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.suffix in _SUFFIXES and path.stat().st_mtime < oldest:
                path.unlink()


def _read(path: Path) -> DeathNote | None:
    with contextlib.suppress(FileNotFoundError):
        try:
            return DeathNote(**json.loads(path.read_text("ascii")))
        except (ValueError, TypeError) as error:
            _log.warning("the death note %s cannot be read and is ignored: %s", path, error)
    return None
