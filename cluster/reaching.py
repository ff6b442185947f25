"""How a job comes to files that it can read, and what it leaves no trace of afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from actors.choice import Choice
from actors.engines.base import OnProgress
from cluster.ingest.sources import Found, find_files
from cluster.ingest.walk import WalkLimits
from cluster.naming import Target


@dataclass(frozen=True, slots=True)
class Reached:
    """Files that can be read.

    Attributes:
        root: The folder or object-store URI that their paths are relative to.
        source: What the collection is to say of where they come from.
        find: Finds those worth reading of what the collection takes.
    """

    root: str
    source: str
    find: Callable[[Choice], Found]


Reach = Callable[[OnProgress], AbstractAsyncContextManager[Reached]]
"""Makes the files of a job readable as long as the context lasts; told is how far that is."""


@asynccontextmanager
async def in_place(
    target: Target, max_file_bytes: int, _on_progress: OnProgress
) -> AsyncIterator[Reached]:
    """Read a folder or an object store where it is."""
    find = partial(find_files, target.root, target.scopes, WalkLimits(max_file_bytes))
    yield Reached(target.root, target.root, find)


@asynccontextmanager
async def temporary_folder(parent: Path) -> AsyncIterator[Path]:
    """Make a private folder that is gone, with all that lies in it, when the context ends."""
    await asyncio.to_thread(parent.mkdir, mode=0o700, exist_ok=True)
    folder = tempfile.TemporaryDirectory(
        prefix=f"{os.getpid()}-", dir=parent, ignore_cleanup_errors=True
    )
    try:
        yield Path(folder.name)
    finally:
        await asyncio.shield(asyncio.to_thread(folder.cleanup))


def remove_left_over(parent: Path) -> None:
    """Remove the temporary folders of processes that have ended, each named after its maker.

    Several gateways of a machine may have one parent, as replicas of Ray Serve have.
    """
    for folder in parent.glob("*"):
        maker = folder.name.partition("-")[0]
        if not maker.isdecimal() or int(maker) == os.getpid() or not psutil.pid_exists(int(maker)):
            shutil.rmtree(folder, ignore_errors=True)
