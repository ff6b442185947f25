"""What an actor holds to keep within its memory: limit, measurements, its predecessor's end."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from actors.errors import MemoryLimitExceeded
from actors.memory.budget import MIB
from actors.memory.enforce import Enforcement, Watchdog, cap_process
from actors.memory.measure import give_back, give_back_files, node_memory, tame_allocator
from actors.memory.notes import DeathNote, Ledger
from actors.memory.status import MemoryStatus, Pressure, Watermarks
from actors.memory.track import Tracks

if sys.platform == "linux":
    from actors.memory.watchdog import processes as system
else:
    from actors.memory.watchdog import portable as system

_log = logging.getLogger("shoal.memory")

_PERIOD_S = 0.5
_GIVE_BACK_S = 2.0
"""Between two trims of the allocator, which hold its locks for some milliseconds."""
_RETRY_S = 2.0
"""After a refusal: time for a trim and for unloading what is idle."""


class ActorMemory:
    """Holds the calling process and its children to a limit, for as long as it lives.

    The process's own memory counts, and the workers' object store does not.

    Args:
        name: The actor's name, for messages and for its control group.
        key: Names the files by which successors know each other; safe in a file's name.
        limit_bytes: The most PSS of the whole tree.
        watermarks: Where memory is short, and where it is out.
        object_store_bytes: Shared memory up to this is the node's and does not count.
        enforcement: What the kernel is to enforce; "auto" takes the best that can be had.
        setting: What raises the limit, for messages.

    Attributes:
        last_death: How the predecessor died for memory, or None.
        starts: How often the actor was started, this time included.
        kills: Deaths for memory in a row before this start.
        refusals: Loads and requests refused since then.

    Raises:
        MemoryLimitExceeded: The process holds more than its limit already.
        InvalidRequest: The enforcement asked for cannot be had here.
        StorageError: The folder for death notes belongs to somebody else.
    """

    def __init__(
        self,
        name: str,
        key: str,
        limit_bytes: int,
        *,
        watermarks: Watermarks = Watermarks(),  # noqa: B008 - frozen
        object_store_bytes: int = 0,
        enforcement: Enforcement = "auto",
        setting: str = "the limit",
    ) -> None:
        """Cap this process, start its watchdog and the thread that measures."""
        tame_allocator()
        self.refusals = 0
        self._name, self._limit, self._store = name, limit_bytes, object_store_bytes
        self._watermarks = watermarks
        self._setting = setting
        self._text = ""
        self._lock = threading.Lock()
        self._tracks = Tracks(lambda: self.sample().pss)
        self._callbacks: list[Callable[[Pressure], None]] = []
        self._tree = system.Tree(os.getpid(), None)
        self._peak = 0
        self._told, self._trimmed_at = Pressure.OK, 0.0
        self._last = self.sample()
        self._check_baseline()
        self._ledger = Ledger(key)
        self.last_death: DeathNote | None = self._ledger.last_death
        self.starts = self._ledger.starts
        self.kills = self.last_death.deaths if self.last_death else 0
        self._cap = cap_process(name, limit_bytes - self._last.pss, enforcement)
        self._tree = system.Tree(os.getpid(), self._cap.group)
        self._text = " + ".join(filter(None, [self._cap.text, "watchdog"]))
        self._watchdog = self._watch()
        self.sample()
        self._closing = threading.Event()
        self._monitor = threading.Thread(target=self._run, name="shoal-memory", daemon=True)
        self._monitor.start()

    def status(self) -> MemoryStatus:
        """Return the last measurement, at most half a second old."""
        return self._last

    def sample(self) -> MemoryStatus:
        """Measure now; takes milliseconds per gigabyte held."""
        with self._lock:
            pss = system.held(self._tree.members(), system.pss, self._store)
            self._peak = max(self._peak, pss)
            pressure = self._watermarks.pressure(pss, self._limit)
            self._last = MemoryStatus(pss, self._peak, self._limit, pressure, self._text)
            self._tracks.saw(pss)
            return self._last

    def check_room(self, footprint_bytes: int, what: str) -> None:
        """Refuse what would not fit, before it is loaded.

        Args:
            footprint_bytes: What it will hold.
            what: Its name, for the message.

        Raises:
            MemoryLimitExceeded: It is more than this actor may still take, or than the node has.
        """
        held, node = self.sample().pss, node_memory()
        room = self._limit - held
        if footprint_bytes > room:
            self._refuse(
                f"{what} needs {_mib(footprint_bytes)}, and {self._name} may take {_mib(room)} "
                f"more: it holds {_mib(held)} of its limit of {_mib(self._limit)}; raise "
                f"{self._setting}, or choose something smaller"
            )
        if footprint_bytes > node.available:
            self._refuse(
                f"{what} needs {_mib(footprint_bytes)}, and this node has {_mib(node.available)} "
                f"free of {_mib(node.total)} ({node.source}); end something else on it, or choose "
                "something smaller",
                _RETRY_S,
            )

    def admit(self, what: str) -> None:
        """Let new work in, unless memory is out.

        Raises:
            MemoryLimitExceeded: The hard watermark is reached; `retry_after_s` says when to return.
        """
        if self._last.pressure is Pressure.HARD and self.sample().pressure is Pressure.HARD:
            self._refuse(
                f"{what} is refused: {self._name} holds {_mib(self._last.pss)} of its limit of "
                f"{_mib(self._limit)}; try again in {_RETRY_S:.0f} s, send less at once, or raise "
                f"{self._setting}",
                _RETRY_S,
            )

    @contextmanager
    def track(self, label: str, level: int = logging.INFO) -> Iterator[None]:
        """Say what is being done while the block runs, and log at its end what it cost.

        Measures only where `level` is logged, so that a batch costs microseconds.
        """
        with self._ledger.doing(label):
            if not _log.isEnabledFor(level):
                yield
                return
            with self._tracks.track(label, level):
                yield

    def last_words(self) -> str:
        """Return how the predecessor died for memory, in words, or "" where it did not."""
        note = self.last_death
        return f"{self._name} {note.described()}; raise {self._setting}" if note else ""

    def on_pressure(self, callback: Callable[[Pressure], None]) -> None:
        """Have it called at each sample while memory is short, and once when it no longer is.

        Calls come from a thread of their own.
        """
        self._callbacks.append(callback)

    def survived(self) -> None:
        """Forget the predecessor's death: what killed it went well."""
        self._ledger.forgive()
        self.last_death = None

    def close(self) -> None:
        """Lift the limit, as far as that is allowed; nothing is measured afterwards."""
        self._closing.set()
        self._monitor.join()
        self._watchdog.end()
        self._cap.lift()
        self._ledger.close()

    def _watch(self) -> Watchdog:
        return Watchdog(self._limit, self._store, self._cap, self._ledger)

    def _check_baseline(self) -> None:
        if self._last.pss >= self._limit:
            self._refuse(
                f"{self._name} holds {_mib(self._last.pss)} before any work, and its limit is "
                f"{_mib(self._limit)}; raise {self._setting}"
            )

    def _refuse(self, message: str, retry_after_s: float | None = None) -> None:
        self.refusals += 1
        raise MemoryLimitExceeded(message, retry_after_s)

    def _run(self) -> None:
        while not self._closing.wait(_PERIOD_S):
            with suppress(MemoryError, OSError, SystemError):  # no memory even to look; later then
                self._look()

    def _look(self) -> None:
        self._keep_watchdog()
        before, pressure = self._told, self._pressure_when_trimmed()
        if pressure is Pressure.OK and before is Pressure.OK:
            return
        self._tell(pressure)
        self._told = pressure

    def _pressure_when_trimmed(self) -> Pressure:
        """Return how short memory is once what is held for nothing was given back.

        Where new work would be refused, that includes pages of libraries and other files: they are
        the first that the kernel takes too, and without them a process that holds nothing else
        might refuse for ever.
        """
        pressure = self.sample().pressure
        if pressure is Pressure.OK or time.monotonic() - self._trimmed_at < _GIVE_BACK_S:
            return pressure
        self._trimmed_at = time.monotonic()
        give_back()
        if pressure is Pressure.HARD:
            give_back_files()
        return self.sample().pressure

    def _keep_watchdog(self) -> None:
        if self._watchdog.runs():
            return
        _log.warning("the memory watchdog of %s has died and is replaced", self._name)
        try:
            self._watchdog = self._watch()
        except (OSError, RuntimeError):
            _log.exception("%s has no memory watchdog; the next try is in a moment", self._name)

    def _tell(self, pressure: Pressure) -> None:
        for callback in self._callbacks:
            try:
                callback(pressure)
            except Exception:  # noqa: BLE001 - the monitor outlives what it calls
                _log.exception("what %s does at memory pressure failed", self._name)


def _mib(size: int) -> str:
    return f"{size / MIB:.0f} MiB"
