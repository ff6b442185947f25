"""What a machine is and has, as the process that asks sees it. Needs no Ray."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil

from actors.examining.enforcing import EnforcementTrial, try_enforcement
from actors.memory import node_memory
from actors.message import Message
from actors.priority import cores

PACKAGES = (
    "shoal",
    "ray",
    "pylance",
    "faiss-cpu",
    "numpy",
    "pyarrow",
    "onnxruntime",
    "tokenizers",
    "obstore",
    "pydantic",
    "mcp",
    "xllamacpp",
    "vllm",
)
"""Whose versions are told: what reads and writes data, and what machines speak to each other."""
UNLIMITED = -1
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - measured, not written
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_watches")


@dataclass(frozen=True, slots=True)
class Disk(Message):
    """A file system: what of ours lies there, and its bytes."""

    purpose: str
    path: str
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Machine(Message):
    """A machine as one of its processes sees it.

    Attributes:
        host: Its name.
        python: Version of the interpreter.
        system: Its operating system and architecture.
        versions: Package → version, of those that are installed.
        cores: Processors that the process may use.
        memory_total: Bytes that it may share in; the machine's, or its control group's.
        memory_available: Bytes that are free of that.
        memory_source: What set the total, in words.
        open_files: Files that a process may hold open, or `UNLIMITED`.
        data_bytes: What the process itself may allocate, or `UNLIMITED`.
        shared_memory: What Ray's object store may use, or None where there is no such thing.
        disks: Where something of ours lies.
        enforcement: What holds processes to limits of memory here.
    """

    host: str
    python: str
    system: str
    versions: dict[str, str]
    cores: int
    memory_total: int
    memory_available: int
    memory_source: str
    open_files: int
    data_bytes: int
    shared_memory: Disk | None
    disks: tuple[Disk, ...]
    enforcement: EnforcementTrial


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed here, by their names."""
    found = {}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def look_at_this_machine(root: str) -> Machine:
    """Measure the machine; takes about a second, most of it for trying enforcement.

    Args:
        root: The storage root; a disk is measured where it is a folder.
    """
    memory = node_memory()
    return Machine(
        host=socket.gethostname(),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        versions=versions(),
        cores=cores(),
        memory_total=memory.total,
        memory_available=memory.available,
        memory_source=memory.source,
        open_files=_limit("RLIMIT_NOFILE"),
        data_bytes=_limit("RLIMIT_DATA"),
        shared_memory=_disk("objects that Ray shares", _SHARED_MEMORY),
        disks=tuple(_disks(root)),
        enforcement=try_enforcement(),
    )


def _limit(name: str) -> int:
    """Return a soft limit of this process."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:  # not on Windows
        return UNLIMITED
    soft, _ = resource.getrlimit(getattr(resource, name))
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def watchable_folders() -> int:
    """Return how many folders the processes of a user may watch; 0 where nothing counts them."""
    with suppress(OSError, ValueError):
        return int(_INOTIFY.read_text())
    return 0


def _disks(root: str) -> list[Disk]:
    places = [
        ("temporary files, and Ray's", Path(tempfile.gettempdir())),
        ("the cache", Path(platformdirs.user_cache_dir("shoal"))),
    ]
    if "://" not in root:
        places.insert(0, ("the root", Path(root)))
    return [disk for purpose, path in places if (disk := _disk(purpose, path))]


def _disk(purpose: str, path: Path) -> Disk | None:
    """Measure the file system of a path, or of what is there of it."""
    there = next((p for p in (path, *path.parents) if p.exists()), None)
    if there is None or (path == _SHARED_MEMORY and there != path):
        return None
    usage = psutil.disk_usage(str(there))
    return Disk(purpose, str(path), usage.free, usage.total)
