"""Files of an object store, found by the same rules as those of a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from actors.choice import EVERYTHING, Choice
from actors.errors import StorageError
from actors.storage import cause_of, open_store
from cluster.ingest.ignore import MAX_RULE_BYTES, Layer, layer_from, rules_text
from cluster.ingest.reach import Reach
from cluster.ingest.walk import Entry, Walk, Walker, WalkLimits

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

_PATIENCE: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(minutes=1)}
"""Three seconds for a store that is not there; somebody waits for the answer."""


def walk_store(root: str, scope: str, limits: WalkLimits, choice: Choice = EVERYTHING) -> Walk:
    """Find the objects below a prefix that are worth indexing; see `walk`.

    The listing is taken whole, for a page has a thousand objects and a folder few. Rules are read
    from ignore files below the root; what stands above it is of other sources.

    Raises:
        StorageError: The store does not answer, or refuses.
    """
    walker = _StoreWalker(root, limits, choice)
    if not walker.look(scope):
        return Walk(iter(()), walker.skipped, walker.unreadable, walker.links)
    return Walk(walker.files(scope), walker.skipped, walker.unreadable, walker.links)


def is_object(uri: str) -> bool:
    """Tell whether a URI names one object, not a prefix.

    Raises:
        StorageError: The store does not answer, or refuses.
    """
    folder, _, name = uri.rpartition("/")
    return not folder.endswith("/") and _size(folder, name) is not None


def read_object(root: str, path: str, limit: int) -> bytes:
    """Read up to `limit` bytes of an object; see `read_bytes`."""
    with _named(f"read {root}/{path}"):
        try:
            found = obstore.get(_opened(root), path)
            if found.meta["size"] > limit:
                return bytes(obstore.get_range(_opened(root), path, start=0, end=limit))
            return bytes(found.bytes())
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise PermissionError(cause_of(error)) from error


class _Listed(NamedTuple):
    name: str
    is_folder: bool

    def is_dir(self, *, follow_symlinks: bool) -> bool:  # noqa: ARG002 - stores have no links
        return self.is_folder

    def is_symlink(self) -> bool:
        return False


class _StoreWalker(Walker):
    """Walks over what was listed."""

    def __init__(self, root: str, limits: WalkLimits, choice: Choice) -> None:
        super().__init__(root, limits, Reach(root, rules=self.rules, choice=choice))
        self._sizes: dict[str, int] = {}
        self._folders: defaultdict[str, dict[str, _Listed]] = defaultdict(dict)
        """Folder → what lies in it, by name."""

    def look(self, scope: str) -> bool:
        """List all at and below a scope; False where there is nothing."""
        size = _size(self.root, scope) if scope else None
        if size is not None:
            self._sizes[scope] = size
            return True
        with _named(f"list {self.root}"):
            for page in obstore.list(_opened(self.root), scope or None):
                for entry in page:
                    self._note(entry["path"], entry["size"], scope)
        return not scope or scope in self._folders

    def is_folder(self, path: str) -> bool:
        return not path or path in self._folders

    def entries(self, folder: str) -> Iterable[Entry]:
        return self._folders[folder].values()

    def rules(self, folder: str) -> Layer:
        names = self._folders.get(folder.rstrip("/"))

        def content(source: str) -> str:
            first = source.partition("/")[0]
            if names is None or first in names:  # None: above the scope, where nothing was listed
                with suppress(FileNotFoundError, PermissionError):
                    return rules_text(read_object(self.root, folder + source, MAX_RULE_BYTES))
            return ""

        return layer_from(content, len(folder))

    def size(self, path: str) -> int:
        return self._sizes[path]

    def _note(self, path: str, size: int, scope: str) -> None:
        folder, _, name = path.rpartition("/")
        self._sizes[path] = size
        self._folders[folder].setdefault(name, _Listed(name, is_folder=False))
        while folder != scope:
            folder, _, name = folder.rpartition("/")
            known = self._folders[folder].get(name)
            if known and known.is_folder:
                return
            self._folders[folder][name] = _Listed(name, is_folder=True)


@lru_cache(maxsize=16)
def _opened(root: str) -> ObjectStore:
    """Return the store with the prefix; it keeps its connections."""
    return open_store(root, _PATIENCE)


def _size(root: str, path: str) -> int | None:
    with _named(f"look into {root}"), suppress(FileNotFoundError):
        return obstore.head(_opened(root), path)["size"]
    return None


@contextmanager
def _named(action: str) -> Iterator[None]:
    """Turn what a store raises into an error that names the place and a way out."""
    try:
        yield
    except BaseError as error:
        message = (
            f"cannot {action}: {cause_of(error)}; check the address, and the credentials in the "
            "environment of the gateway and its nodes"
        )
        raise StorageError(message) from error
