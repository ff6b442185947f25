"""From what a file system tells to what is indexed again, and when."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from watchfiles import Change

from actors.choice import EVERYTHING
from cluster.ingest.ignore import GIT_EXCLUDE, IGNORE_FILES
from cluster.ingest.languages import BINARY_SUFFIXES, suffix_of
from cluster.ingest.reach import VERSION_CONTROL, Reach

QUIET_S = 0.2
"""An editor's save and a checkout are many events, milliseconds apart."""
LONGEST_S = 2.0
"""Whatever goes on and on is published as often as this."""
MAX_SCOPES = 200
"""A job looks each of its scopes up; past this, whole folders are as cheap."""
LOSS_CHANGES = 4096
"""The kernel's queue holds 16,384 events, and what it loses is not told: a quarter is too near."""

_EXCLUDE_PARTS = (".git", ".git/info", GIT_EXCLUDE)


@dataclass(frozen=True, slots=True)
class Seen:
    """What changes mean for a collection; paths are relative to its source, "" is all of it.

    Attributes:
        scopes: The files and folders to index again.
        new_folders: Those scopes that are folders which just appeared. They are watched a little
            later, and not all that lies in them where they change meanwhile.
    """

    scopes: frozenset[str] = frozenset()
    new_folders: frozenset[str] = frozenset()


class Reader:
    """Turns changes into scopes by the rules of the walk.

    Args:
        root: The collection's source, without symbolic links.
        tops: What is watched of it, relative.

    Attributes:
        links: The symbolic links that a walk follows, as `Walk.links` has them.
        choice: Which files the collection takes.
    """

    def __init__(self, root: str, tops: Iterable[str]) -> None:
        self._root = root
        self._tops = frozenset(tops)
        self.links: Mapping[str, str] = {}
        self.choice = EVERYTHING

    def read(self, changes: Iterable[tuple[Change, str]]) -> Seen:
        """Return what to index again; what a walk does not come to is left out.

        Changes at either end of a link may decide which of several is followed: all is indexed.
        """
        told = list(changes)
        if len(told) >= LOSS_CHANGES:
            return Seen(frozenset({""}))
        reach = Reach(self._root, self._tops, choice=self.choice)
        folders = _RealFolders(self._root)
        scopes: set[str] = set()
        new_folders: set[str] = set()
        for change, where in told:
            path = folders.relative(where)
            scope = None if path is None else self._scope(path, where, reach)
            if scope is not None:
                scopes.add(scope)
                if change is Change.added and scope == path and os.path.isdir(where):
                    new_folders.add(scope)
        return Seen(frozenset(scopes), frozenset(new_folders))

    def _scope(self, path: str, where: str, reach: Reach) -> str | None:
        governed = _governed_folder(path)
        if governed is not None:
            return governed if reach.is_open(governed, is_folder=True) else None
        if not VERSION_CONTROL.isdisjoint(path.split("/")):
            return None
        if self._touches_a_link(path):
            return ""
        if not _may_be_walked(path, where, reach):
            return None
        return "" if os.path.islink(where) else path

    def _touches_a_link(self, path: str) -> bool:
        ends = (end for link in self.links.items() for end in link)
        return any(_is_within(path, end) or _is_within(end, path) for end in ends)


@dataclass(slots=True)
class _RealFolders:
    """Places as the walk names them: a watch may tell of a folder by a link that leads to it."""

    root: str
    known: dict[str, str] = field(default_factory=dict)

    def relative(self, where: str) -> str | None:
        """Return a path relative to the root, or None for one that lies outside."""
        if where == self.root:
            return ""
        folder, name = os.path.split(where)
        if folder not in self.known:
            self.known[folder] = os.path.realpath(folder)
        path = os.path.relpath(os.path.join(self.known[folder], name), self.root)
        path = path.replace(os.sep, "/")
        return None if path == ".." or path.startswith("../") else path


def _governed_folder(path: str) -> str | None:
    """Return the folder whose rules a path holds, or None for any other path."""
    folder, _, name = path.rpartition("/")
    if name in IGNORE_FILES:
        return folder
    for part in _EXCLUDE_PARTS:
        if path == part or path.endswith(f"/{part}"):
            return path[: -len(part)].rstrip("/")
    return None


def _may_be_walked(path: str, where: str, reach: Reach) -> bool:
    """Tell whether a walk comes to a path; of one that is gone, nobody knows what it was."""
    if os.path.isdir(where):
        return reach.is_open(path, is_folder=True)
    if os.path.lexists(where):
        is_binary = suffix_of(path.rpartition("/")[2]) in BINARY_SUFFIXES
        return not is_binary and reach.is_open(path, is_folder=False)
    return reach.is_open(path, is_folder=False) or reach.is_open(path, is_folder=True)


def _is_within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def outermost(paths: Iterable[str]) -> set[str]:
    """Return the paths that lie in no other of them."""
    given = set(paths)
    return {path for path in given if given.isdisjoint(_folders_of(path))}


def collapsed(paths: Iterable[str], most: int = MAX_SCOPES) -> set[str]:
    """Return at most so many paths that hold all the given ones: the deepest become their folders.

    Of names that differ in case alone, some file systems make one: their folder is listed.
    """
    by_folded = defaultdict(set)
    for path in paths:
        by_folded[path.casefold()].add(path)
    found = outermost(
        path if len(same) == 1 else _folder_of(path) for same in by_folded.values() for path in same
    )
    while len(found) > most:
        depth = max(path.count("/") for path in found)
        found = outermost(_folder_of(p) if p.count("/") == depth else p for p in found)
    return found


def clipped(paths: Iterable[str], tops: Iterable[str]) -> set[str]:
    """Return what of the paths is watched: where one holds several tops, these."""
    watched = set(tops)
    return {
        path if _is_within(path, top) else top
        for path in paths
        for top in watched
        if _is_within(path, top) or _is_within(top, path)
    }


def _folders_of(path: str) -> Iterator[str]:
    while path:
        path = _folder_of(path)
        yield path


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Batch:
    """Scopes to index in one job.

    Attributes:
        scopes: Relative to the collection's source.
        new_folders: Those of them that are folders which just appeared.
        since: When the oldest of the changes was seen; None where no change is known.
    """

    scopes: frozenset[str]
    new_folders: frozenset[str] = frozenset()
    since: float | None = None


_NOTHING = Batch(frozenset())


class Pending:
    """Changes that are not published: collected until it is quiet, taken as one batch.

    Args:
        clock: Seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting = self._taken = _NOTHING
        self._first = self._last = self._not_before = 0.0
        self._is_held = False

    def add(self, seen: Seen, *, is_change: bool = True) -> None:
        """Add scopes; without `is_change` only to make sure, so that nothing counts as behind."""
        if not seen.scopes:
            return
        now = self._clock()
        if self._is_held or not self._waiting.scopes:
            self._first = now
        self._last, self._is_held = now, False
        added = Batch(seen.scopes, seen.new_folders, now if is_change else None)
        self._waiting = _joined(self._waiting, added)

    def due_in(self) -> float | None:
        """Return the seconds until a batch is to be taken; None where nothing is to be done."""
        if not self._waiting.scopes or self._is_held:
            return None
        quiet = min(self._last + QUIET_S, self._first + LONGEST_S)
        return max(0.0, max(quiet, self._not_before) - self._clock())

    def take(self) -> Batch:
        """Take what waits; it counts as behind until it is `done` or `put_back`."""
        self._taken, self._waiting = self._waiting, _NOTHING
        return self._taken

    def done(self) -> bool:
        """Note that what was taken is published; return whether folders had appeared in it."""
        had_new_folders = bool(self._taken.new_folders)
        self._taken = _NOTHING
        self._not_before = 0.0
        return had_new_folders

    def put_back(self, scopes: frozenset[str], retry_in_s: float | None) -> None:
        """Have scopes wait in place of what was taken, for so long, or until more changes."""
        now = self._clock()
        if not self._waiting.scopes:
            self._first = self._last = now
            self._is_held = retry_in_s is None
        self._waiting = _joined(self._waiting, replace(self._taken, scopes=scopes))
        self._taken = _NOTHING
        self._not_before = now + (retry_in_s or 0.0)

    def hasten(self) -> None:
        """Try again without the delay: something has changed that may have been in the way."""
        self._not_before = 0.0

    def behind_s(self) -> float:
        """Return the age of the oldest change that is not published; 0 where there is none."""
        since = _earlier(self._waiting.since, self._taken.since)
        return 0.0 if since is None else max(self._clock() - since, 1e-3)


def _joined(one: Batch, other: Batch) -> Batch:
    return Batch(
        one.scopes | other.scopes,
        one.new_folders | other.new_folders,
        _earlier(one.since, other.since),
    )


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((since for since in (one, other) if since is not None), default=None)


def backoff_s(tries: int, most: float) -> float:
    """Return how long to wait after so many failures in a row."""
    return min(0.5 * 2.0 ** min(tries - 1, 30), most)
