"""Folders that are watched: whether they are still the same, and what changes in them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from watchfiles import Change, awatch
from watchfiles.main import FileChange

from actors.errors import InvalidRequest, NotFound
from cluster.ingest.ignore import GIT_EXCLUDE, IGNORE_FILES

_LOOK_MS = 250
"""How often the folders themselves are looked at: a watch dies silently with its folder."""
_GROUP_MS = 50


class Folders:
    """Folders to watch.

    Args:
        given: As a user names them.

    Attributes:
        paths: Without symbolic links.
        common: The folder that holds them all.
        is_stale: To be set where all are to be watched anew.

    Raises:
        InvalidRequest: One is no folder.
        NotFound: One does not exist.
    """

    def __init__(self, given: Iterable[Path]) -> None:
        self.paths = [_real_folder(folder) for folder in given]
        self.common = os.path.commonpath(self.paths)
        self._rules = _rules_above(self.paths)
        self.is_stale = False

    def below(self, root: str) -> list[str]:
        """Return the paths relative to a folder that holds them; "" is itself."""
        relative = (os.path.relpath(path, root).replace(os.sep, "/") for path in self.paths)
        return ["" if path == "." else path for path in relative]

    def lie_in(self, source: str) -> bool:
        """Tell whether a folder holds them all."""
        return bool(source) and os.path.commonpath([source, self.common]) == source

    async def changes(self) -> AsyncGenerator[set[FileChange]]:
        """Yield changes, and an empty set now and then, the first once all are watched.

        It ends where a folder is deleted, replaced or made, where rules above it change, or where
        `is_stale` is set.

        Raises:
            OSError, RuntimeError: The system does not let them be watched.
        """
        self.is_stale = False
        before = self._identity()
        there = list(filter(os.path.isdir, self.paths))
        async with aclosing(_changes_in(there)) as following:
            async for changes in following:
                yield changes
                deleted = {where for change, where in changes if change is Change.deleted}
                is_lost = not deleted.isdisjoint(self.paths) or self._identity() != before
                if is_lost or self.is_stale:
                    return

    def _identity(self) -> tuple[object, ...]:
        folders = ((s.st_dev, s.st_ino) if s else None for s in map(_stat, self.paths))
        rules = ((s.st_mtime_ns, s.st_size) if s else None for s in map(_stat, self._rules))
        return (*folders, *rules)


def _real_folder(folder: Path) -> str:
    real = os.path.realpath(folder)
    if os.path.isdir(real):
        return real
    if os.path.exists(real):
        message = f"{folder} is no folder; watch the one that it lies in"
        raise InvalidRequest(message)
    message = f"{folder} does not exist"
    raise NotFound(message)


def _rules_above(folders: Iterable[str]) -> list[str]:
    """Return where rules for folders can stand outside them."""
    above = {str(outer) for folder in folders for outer in Path(folder).parents}
    return [os.path.join(a, name) for a in sorted(above) for name in (*IGNORE_FILES, GIT_EXCLUDE)]


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


async def _changes_in(folders: Sequence[str]) -> AsyncGenerator[set[FileChange]]:
    """Yield changes, and an empty set now and then, the first once the folders are watched."""
    if not folders:
        while True:
            yield set()
            await asyncio.sleep(_LOOK_MS / 1e3)
    following = awatch(
        *folders,
        watch_filter=None,
        debounce=_GROUP_MS,
        step=_GROUP_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
    )
    async with aclosing(following):
        async for changes in following:
            yield changes
