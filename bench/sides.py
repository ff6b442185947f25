"""The two programs that are compared: a Shoal gateway of our own, and semble in its environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import psutil
from report import MB, MODEL, PEER_PYTHON

from cluster.client import ShoalClient
from cluster.daemon import Endpoint, Rooms
from cluster.settings import Settings

SHOAL = Path(sys.executable).with_name("shoal")
SEMBLE = PEER_PYTHON.with_name("semble")
_SEMBLE_PEER = Path(__file__).with_name("semble_peer.py")
_SAMPLE_S = 0.2
_START_S = 300.0
"""vLLM's server takes a minute on two cores."""
_POLL_S = 0.5
_STOP_S = 30.0


@contextmanager
def gateway(root: Path) -> Iterator[ShoalClient]:
    """Run a gateway for a root while the block lasts, then end it and forget its files."""
    with ShoalClient(root=str(root)) as client:
        try:
            client.status()
            yield client
        finally:
            down(root)
            shutil.rmtree(Rooms(Settings(root=str(root))).folder, ignore_errors=True)


@contextmanager
def serving(root: Path, shoal: Path = SHOAL, **settings: str) -> Iterator[Endpoint]:
    """Run a gateway on a port of this machine while the block lasts, then forget its files.

    Args:
        root: Of the gateway.
        shoal: The program, of any environment that has it.
        settings: Variables of its environment, beside ours.
    """
    rooms = Rooms(Settings(root=str(root)))
    command = [shoal, "serve", "--host", "127.0.0.1", "--port", "0", "--root", root]
    try:
        with program(command, rooms.log, settings, lambda: _is_ready(rooms)):
            running = rooms.read()
            if running is None:
                message = "the gateway ended just after its start"
                raise RuntimeError(message)
            yield running.endpoint
    finally:
        shutil.rmtree(rooms.folder, ignore_errors=True)


@contextmanager
def program(
    command: Sequence[str | Path],
    log: Path,
    settings: dict[str, str],
    is_ready: Callable[[], bool],
) -> Iterator[psutil.Popen]:
    """Run a server while the block lasts, which begins once it is ready."""
    with log.open("w") as said:
        process = psutil.Popen(
            [str(part) for part in command],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        give_up = time.monotonic() + _START_S
        while not is_ready():
            if process.poll() is not None or time.monotonic() > give_up:
                message = f"{command[0]} does not start: {log.read_text()[-2000:]}"
                raise RuntimeError(message)
            time.sleep(_POLL_S)
        yield process
    finally:
        if process.poll() is None:
            family = [process, *process.children(recursive=True)]
            process.terminate()
            for survivor in psutil.wait_procs(family, timeout=_STOP_S)[1]:
                survivor.kill()
        process.wait()


def answers(url: str) -> bool:
    """Tell whether a GET succeeds."""
    try:
        return httpx2.get(url, timeout=5).is_success
    except httpx2.HTTPError:
        return False


def _is_ready(rooms: Rooms) -> bool:
    running = rooms.read()
    return running is not None and answers(f"{running.endpoint.url}/readyz")


def down(root: Path) -> None:
    """End the root's gateway."""
    subprocess.run([SHOAL, "down", "--root", root], check=True, capture_output=True)


def semble_environment(cache: Path, workers: int | None = None) -> dict[str, str]:
    """Return an environment in which semble takes our model, an own cache and no network."""
    chosen = {} if workers is None else {"SEMBLE_INDEX_WORKERS": str(workers)}
    offline = {"HF_HUB_OFFLINE": "1", "SEMBLE_MODEL_NAME": str(MODEL)}
    return {**os.environ, **offline, **chosen, "SEMBLE_CACHE_LOCATION": str(cache)}


class Peer:
    """A peer in a process of its own environment, asked over pipes, one JSON line each.

    Args:
        script: What runs there.
        environment: Of the process; None for this one's.
    """

    def __init__(self, script: Path, environment: dict[str, str] | None = None) -> None:
        self.process = psutil.Popen(
            [PEER_PYTHON, "-P", script],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> Any:  # noqa: ANN401 - JSON
        """Send a request and return the answer."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            message = f"a peer's process ended with {self.process.wait()}"
            raise RuntimeError(message)
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        """Return the peer."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Let it end."""
        self.close()


class SemblePeer(Peer):
    """semble (`semble_peer.py`).

    Args:
        cache: An empty folder for its cache.
        workers: Its processes for cutting files; 0 for none, as in its library.
    """

    def __init__(self, cache: Path, workers: int) -> None:
        super().__init__(_SEMBLE_PEER, semble_environment(cache, workers))


class PeakMemory:
    """Samples the memory of a process and all it started while the block lasts.

    It is the proportional set size: a page shared by n processes counts as 1/n in each. Reading it
    costs time, so that no run is both timed and sampled.

    Attributes:
        mb: The most that was seen.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mb = 0.0

    def __enter__(self) -> PeakMemory:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self.mb = max(self.mb, tree_mb(self._root.pid))


def tree_mb(pid: int) -> float:
    """Return the proportional set size of a process and all it started."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return round(sum(map(_pss, family)) / MB, 1)


def tree_cpu_s(pid: int) -> float:
    """Return the processor seconds that a process and all it started have used so far."""
    root = psutil.Process(pid)
    return sum(map(_cpu_s, (root, *root.children(recursive=True))))


def _cpu_s(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system + used.children_user + used.children_system)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def timed_call(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes, to milliseconds."""
    started = time.perf_counter()
    work()
    return timed(started)


def timed(started: float) -> float:
    """Return the seconds since `started`, to milliseconds."""
    return round(time.perf_counter() - started, 3)
