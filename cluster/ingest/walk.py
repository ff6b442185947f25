"""Which files of a folder are worth indexing: ignore rules, limits, links, in a stable order."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from actors.choice import EVERYTHING, Choice
from cluster.ingest.ignore import Layer, has_rules, is_ignored, layer_of
from cluster.ingest.languages import BINARY_SUFFIXES, suffix_of
from cluster.ingest.reach import VERSION_CONTROL, Reach
from cluster.ingest.scope import is_within, real_root, relative_scope

MAX_FILE_BYTES = 1024 * 1024
"""Larger files are data, bundles or logs; the largest hand-written sources are under 1 MiB."""

UNREADABLE = "unreadable"
"""Why an entry is left out that an error keeps from being read."""


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """What a walk leaves out for its size.

    Attributes:
        max_file_bytes: Larger files are counted as "too large".
    """

    max_file_bytes: int = MAX_FILE_BYTES


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file worth reading.

    Attributes:
        path: Path relative to the walk's root, with forward slashes.
        size: Bytes on disk.
    """

    path: str
    size: int


class Entry(Protocol):
    """What lies in a folder, as `os.scandir` tells it."""

    @property
    def name(self) -> str:
        """Its name there."""

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        """Tell whether it is a folder."""

    def is_symlink(self) -> bool:
        """Tell whether it is a symbolic link."""


class _Folder(NamedTuple):
    path: str
    layers: tuple[Layer, ...]
    linked: bool


@dataclass(slots=True)
class Walk:
    """One walk over a folder.

    Attributes:
        files: The files, a folder's own before its sub-folders', each sorted by name.
        skipped: How many entries were left out so far, by reason; an ignored folder counts once.
        unreadable: Which of them cannot be read, folders included.
        links: The symbolic links so far that were followed, or would be once there is what they
            lead to: path → where to, both relative to the root.
    """

    files: Iterator[FoundFile]
    skipped: Counter[str]
    unreadable: list[str]
    links: dict[str, str]


def walk(
    root: Path,
    scope: Path | None = None,
    limits: WalkLimits | None = None,
    choice: Choice = EVERYTHING,
) -> Walk:
    """Find the files of a folder that are worth indexing.

    `.gitignore` files (those above the root too, up to the top of its repository),
    `.git/info/exclude` and `.shoalignore` files are honoured as git does. A symbolic link is
    followed only to a place inside the root that the walk would not reach otherwise.

    Args:
        root: The folder that paths are relative to.
        scope: A file or folder below the root to restrict the walk to, relative or absolute. It
            is taken though a rule ignores it; what lies in it is not.
        limits: What is left out for its size.
        choice: What is taken of the rest, scope or not.

    Returns:
        The lazy walk; its counts are complete when its files are used up.

    Raises:
        NotFound: The root or the scope does not exist.
        InvalidRequest: The root is no folder, or the scope lies outside it.
    """
    real = real_root(root)
    walker = Walker(real, limits or WalkLimits(), Reach(real, choice=choice))
    files = walker.files(relative_scope(real, root, scope))
    return Walk(files, walker.skipped, walker.unreadable, walker.links)


class Walker:
    """Walks over a local folder; what walks over something else says how to look into that.

    Args:
        root: The folder, by its real path.
        limits: What is left out for its size.
        reach: The rules of the folder, and of those below it, and what is chosen.

    Attributes:
        skipped: See `Walk`.
        unreadable: See `Walk`.
        links: See `Walk`.
    """

    def __init__(self, root: str, limits: WalkLimits, reach: Reach) -> None:
        self.root = root
        self.skipped: Counter[str] = Counter()
        self._limits = limits
        self.unreadable: list[str] = []
        self.links: dict[str, str] = {}
        self._reach = reach
        self._reached: set[str] = set()
        """Real paths that links led to: each is visited once."""

    def is_folder(self, path: str) -> bool:
        """Tell whether a path, relative to the root, is a folder."""
        return os.path.isdir(self._at(path))

    def entries(self, folder: str) -> Iterable[Entry]:
        """Return what lies in a folder; OSError where it cannot be read."""
        with os.scandir(self._at(folder)) as listing:
            return list(listing)

    def rules(self, folder: str) -> Layer:
        """Return the rules that stand in a folder, which is "" or ends with a slash."""
        return layer_of(self._at(folder), len(folder))

    def size(self, path: str) -> int | None:
        """Return a file's bytes, or None where it is no regular file; OSError where unreadable."""
        status = os.stat(self._at(path))
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def files(self, below: str) -> Iterator[FoundFile]:
        """Yield the files at or below a path, relative to the root."""
        if not self.is_folder(below):
            yield from self._file(below)
            return
        pending = [_Folder(below, self._reach.layers_above(below), linked=False)]
        while pending:
            folders: list[_Folder] = []
            yield from self._folder(pending.pop(), folders)
            pending.extend(reversed(folders))

    def _folder(self, folder: _Folder, folders: list[_Folder]) -> Iterator[FoundFile]:
        """Yield the files of one folder and collect its sub-folders."""
        try:
            entries = sorted(self.entries(folder.path), key=lambda entry: entry.name)
        except OSError:
            self._set_aside(folder.path)
            return
        prefix = folder.path + "/" if folder.path else ""
        layers = folder.layers
        if has_rules(entry.name for entry in entries):
            layers = (*layers, self.rules(prefix))
        here = _Folder(prefix, layers, folder.linked)
        for entry in entries:
            yield from self._entry(entry, here, folders)

    def _entry(self, entry: Entry, here: _Folder, folders: list[_Folder]) -> Iterator[FoundFile]:
        path = here.path + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and entry.name in VERSION_CONTROL:
            return
        if not _is_text(entry.name):
            self.skipped["name is not text"] += 1
        elif is_ignored(path, is_folder, here.layers):
            self.skipped["ignored"] += 1
        elif entry.is_symlink():
            yield from self._link(path, here, folders)
        elif here.linked and not self._first_visit(os.path.realpath(self._at(path))):
            self.skipped["already visited"] += 1
        elif is_folder:
            self._enter(_Folder(path, here.layers, here.linked), folders)
        else:
            yield from self._file(path)

    def _enter(self, folder: _Folder, folders: list[_Folder]) -> None:
        if reason := self._reach.chooser.why_not(folder.path, is_folder=True):
            self.skipped[reason] += 1
        else:
            folders.append(folder)

    def _file(self, path: str) -> Iterator[FoundFile]:
        if reason := self._why_not_read(path):
            self.skipped[reason] += 1
            return
        try:
            size = self.size(path)
        except OSError:
            self._set_aside(path)
            return
        if size is None:
            self.skipped["not a regular file"] += 1
        elif size > self._limits.max_file_bytes:
            self.skipped["too large"] += 1
        else:
            yield FoundFile(path, size)

    def _why_not_read(self, path: str) -> str:
        """Return "" for a file that is chosen, and may be text by its name."""
        is_binary = suffix_of(path.rpartition("/")[2]) in BINARY_SUFFIXES
        return self._reach.chooser.why_not(path) or ("binary" if is_binary else "")

    def _set_aside(self, path: str) -> None:
        self.skipped[UNREADABLE] += 1
        self.unreadable.append(path or ".")

    def _link(self, path: str, here: _Folder, folders: list[_Folder]) -> Iterator[FoundFile]:
        reason = self._why_not_followed(path, self._at(path))
        if reason:
            self.skipped[reason] += 1
        elif self.is_folder(path):
            self._enter(_Folder(path, here.layers, linked=True), folders)
        else:
            yield from self._file(path)

    def _why_not_followed(self, path: str, link: str) -> str:
        """Return "" for a link to a place inside the root that is not reached without it."""
        target = os.path.realpath(link)
        inside = is_within(target, self.root)
        below = os.path.relpath(target, self.root).replace(os.sep, "/") if inside else ""
        try:
            os.stat(link)
        except OSError as error:
            if inside:
                self.links[path] = below
            return "symlink loop" if error.errno == errno.ELOOP else "broken symlink"
        if not inside:
            return "symlink out of the root"
        if target == self.root:
            return "already visited"
        if not VERSION_CONTROL.isdisjoint(below.split("/")):
            return "ignored"
        if self._reach.is_open(below, os.path.isdir(target)):
            return "already visited"
        self.links[path] = below
        return "" if self._first_visit(target) else "already visited"

    def _first_visit(self, target: str) -> bool:
        seen = target in self._reached
        self._reached.add(target)
        return not seen

    def _at(self, path: str) -> str:
        return os.path.join(self.root, path)


def _is_text(name: str) -> bool:
    """Tell whether a name can be stored: one whose bytes are no UTF-8 holds lone surrogates."""
    return name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name)
