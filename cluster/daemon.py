"""This machine's gateway: found by its files, or started once, under a lock."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2
import psutil
from filelock import FileLock, Timeout

from actors.errors import GatewayUnavailable
from actors.logs import FOLDER_VARIABLE
from cluster.settings import Settings

OnPhase = Callable[[str], None]

_START_S = 120.0
"""`ray.init` takes 5 to 16 s on a busy machine, and a cold disk is slower still."""
_STOP_S = 30.0
_POLL_S = 0.05
_LOG_TAIL = 3


def silent(_phase: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a gateway answers.

    Attributes:
        url: Its address; the host is a placeholder where `socket` is given.
        token: Bearer token, or "".
        socket: Path of its Unix socket, or None.
    """

    url: str
    token: str = field(repr=False, default="")
    socket: str | None = None

    @property
    def verified(self) -> bool:
        """Whether there are certificates to check; reading those of the machine takes 60 ms."""
        return self.url.startswith("https:")

    @property
    def headers(self) -> dict[str, str]:
        """The authorization header."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True, slots=True)
class Running:
    """What a gateway writes down about itself, readable by its user alone.

    Attributes:
        pid: Its process.
        started: When the process began, in seconds since the epoch: pids are used again.
        model: The model it embeds with.
        endpoint: Where it answers.
    """

    pid: int
    started: float
    model: str
    endpoint: Endpoint

    @property
    def process(self) -> psutil.Process | None:
        """The living process, or None."""
        try:
            process = psutil.Process(self.pid)
            ours = abs(process.create_time() - self.started) < 1
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


class Rooms:
    """The private folder of a root's gateway: socket, token, lock, log, working folder.

    It is short, because a Unix socket's path has about 100 characters, and lies outside the root,
    because that may be an object store.
    """

    def __init__(self, settings: Settings) -> None:
        digest = hashlib.blake2b(settings.root_uri.encode(), digest_size=6).hexdigest()
        self.folder = _private_folder() / digest
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.socket = self.folder / "gateway.sock"
        self.state = self.folder / "gateway.json"
        self.log = self.folder / "gateway.log"
        self.lock = self.folder / "start.lock"

    @property
    def working_folder(self) -> Path:
        """An empty folder to run in: Ray puts the driver's folder on its workers' path."""
        folder = self.folder / "work"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @property
    def actor_logs(self) -> Path:
        """Where actors of a Ray of our own log, a file each; they outlast it."""
        return self.folder / "logs"

    @property
    def ray_folder(self) -> Path:
        """Where a Ray of our own keeps its sockets and logs."""
        return self.folder / "ray"

    @property
    def temporary(self) -> Path:
        """Where files lie while a job reads them; gateways that start tidy it up."""
        return self.folder / "temporary"

    def write(self, running: Running) -> None:
        """Announce a gateway."""
        partial = self.state.with_suffix(".partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(running), file)
        partial.replace(self.state)

    def read(self) -> Running | None:
        """Return the gateway that was announced last and still runs."""
        try:
            state = json.loads(self.state.read_text())
            running = Running(**{**state, "endpoint": Endpoint(**state["endpoint"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return running if running.process else None


def find_or_start(settings: Settings, on_phase: OnPhase = silent) -> Endpoint:
    """Return this machine's gateway for the root, starting it if there is none.

    Raises:
        GatewayUnavailable: It does not start, or runs with another model.
    """
    rooms = Rooms(settings)
    found = _answering(rooms)
    if found is None:
        try:
            with FileLock(rooms.lock, timeout=_START_S):
                found = _settled(rooms, on_phase) or _start(rooms, settings, on_phase)
        except Timeout as error:
            message = f"another process has been starting the gateway for long; see {rooms.log}"
            raise GatewayUnavailable(message) from error
    _check(found, settings)
    return found.endpoint


def find(settings: Settings) -> Running | None:
    """Return this machine's gateway for the root, or None where none runs."""
    return Rooms(settings).read()


def stop(settings: Settings) -> bool:
    """End the gateway and everything that it started; False where none runs."""
    running = find(settings)
    process = running.process if running else None
    if process is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):  # it ends by itself just now
        family = [process, *process.children(recursive=True)]
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=_STOP_S)
        for survivor in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                survivor.kill()
        psutil.wait_procs(alive, timeout=_STOP_S)
    shutil.rmtree(Rooms(settings).ray_folder, ignore_errors=True)
    return True


def _answering(rooms: Rooms) -> Running | None:
    running = rooms.read()
    return running if running and _phase(running.endpoint) == "ready" else None


def _settled(rooms: Rooms, on_phase: OnPhase) -> Running | None:
    """Wait for a gateway that is starting to be ready, or for one that is ending to be gone."""
    give_up = time.monotonic() + _START_S
    while (running := rooms.read()) and time.monotonic() < give_up:
        phase = _phase(running.endpoint)
        if phase == "ready":
            return running
        on_phase(phase or "waiting for the last gateway to end")
        time.sleep(_POLL_S)
    return None


def _check(running: Running, settings: Settings) -> None:
    if running.model != settings.model:
        message = (
            f"the gateway that runs embeds with {running.model}, not with {settings.model}; "
            "end it with `shoal down` first"
        )
        raise GatewayUnavailable(message)


def _start(rooms: Rooms, settings: Settings, on_phase: OnPhase) -> Running:
    on_phase("starting the gateway")
    with rooms.log.open("ab") as log:
        log.truncate(0)
        child = subprocess.Popen(
            # -P and -c keep the caller's folder off the path of the gateway and its workers.
            [
                sys.executable,
                "-P",
                "-c",
                "from cluster.cli import main; main()",
                "serve",
            ],
            cwd=rooms.working_folder,
            env={**os.environ, **_environment(settings)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # It outlives us; where we outlive it, somebody must collect its exit code.
    threading.Thread(target=child.wait, daemon=True).start()
    return _wait_until_ready(rooms, child, on_phase)


def ray_environment(settings: Settings) -> dict[str, str]:
    """Return what must be set before Ray is imported; the token keeps other users off our Ray."""
    ours = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "OMP_NUM_THREADS": "1",  # hosts search side by side; threads of theirs would only contend
        "RAY_worker_niceness": "0",  # Ray would let everything go before a search; jobs step back
    }
    if settings.ray_address:
        return ours
    return {
        **ours,
        **_watching(settings),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


def _watching(settings: Settings) -> dict[str, str]:
    """Return how actors log and trace; those of a Ray of our own log beside the gateway."""
    return {
        FOLDER_VARIABLE: str(Rooms(settings).actor_logs),
        "SHOAL_LOG_FORMAT": settings.log_format,
        "SHOAL_LOG_LEVEL": settings.log_level,
        "SHOAL_TRACING": str(settings.tracing),
    }


def _environment(settings: Settings) -> dict[str, str]:
    return {"SHOAL_ROOT": settings.root_uri, "SHOAL_MODEL": settings.model, "SHOAL_URL": ""}


def _wait_until_ready(rooms: Rooms, child: subprocess.Popen[bytes], on_phase: OnPhase) -> Running:
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up:
        if child.poll() is not None:
            raise GatewayUnavailable(_last_words(rooms))
        running = rooms.read()
        phase = _phase(running.endpoint) if running else None
        if running and phase == "ready":
            return running
        if phase:
            on_phase(phase)
        time.sleep(_POLL_S)
    child.kill()
    message = f"the gateway was not ready within {_START_S:.0f} s; see {rooms.log}"
    raise GatewayUnavailable(message)


def _last_words(rooms: Rooms) -> str:
    lines = rooms.log.read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if "ERROR" in line]
    said = " / ".join((errors or lines)[-_LOG_TAIL:]) or "it said nothing"
    return f"the gateway ended while starting: {said[-600:]} (log: {rooms.log})"


def _phase(endpoint: Endpoint) -> str | None:
    """Return what the gateway is doing ("ready" once it serves), or None for no answer."""
    try:
        transport = httpx2.HTTPTransport(uds=endpoint.socket, verify=endpoint.verified)
        with httpx2.Client(transport=transport, timeout=5) as http:
            return str(http.get(f"{endpoint.url}/readyz").json()["phase"])
    except (httpx2.HTTPError, ValueError, KeyError):
        return None


def _private_folder() -> Path:
    """Return a short folder that only this user can enter.

    Raises:
        GatewayUnavailable: Somebody else owns it.
    """
    if not hasattr(os, "getuid"):
        folder = Path(tempfile.gettempdir()) / "shoal"
        folder.mkdir(exist_ok=True)
        return folder
    folder = Path("/tmp") / f"shoal-{os.getuid()}"  # noqa: S108 - checked below; elsewhere is too long
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        message = f"{folder} must be a folder that only you can enter; remove it"
        raise GatewayUnavailable(message)
    if not (folder / ".gitignore").exists():
        (folder / ".gitignore").write_text("*\n")  # tokens are not to be indexed
    return folder
