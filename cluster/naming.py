"""Which collection a call to index means, and what its paths are relative to."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from actors.catalog import Catalog, Manifest, check_name
from actors.errors import CorruptData, InvalidRequest, NotFound

_NAME_CHARS = 40


@dataclass(frozen=True, slots=True)
class Target:
    """What is indexed into which collection.

    Attributes:
        collection: Its name.
        root: The folder that the collection's paths are relative to.
        scopes: Folders and files below the root to bring up to date, relative; "" is all.
    """

    collection: str
    root: str
    scopes: tuple[str, ...]


def choose_target(catalog: Catalog, paths: Sequence[str], collection: str | None) -> Target:
    """Find the collection that `paths` belong to, or name a new one.

    Without a name, the collection whose source holds all paths is brought up to date (the
    innermost, if several do); where there is none, a new one is named after their folder.
    A path that is gone may be named where a collection holds it: what was stored below it goes.

    Raises:
        NotFound: A path does not exist, and no collection holds it whose source does.
        InvalidRequest: The named collection does not hold these paths.
    """
    real = [_real(path) for path in paths]
    gone = next((path for path in real if not os.path.exists(path)), None)
    if gone and not _is_held(catalog, real, collection):
        message = f"{gone} does not exist on the gateway's machine; check the path"
        raise NotFound(message)
    if collection is not None:
        manifest = catalog.find(check_name(collection))
        root = _common_folder(real) if manifest is None else _source(manifest, real)
    else:
        folder = _common_folder(real)
        collection, root = _fitting(catalog, real, _slug(folder)) or _new(catalog, folder)
    scopes = (os.path.relpath(path, root).replace(os.sep, "/") for path in real)
    return Target(collection, root, tuple("" if scope == "." else scope for scope in scopes))


def _real(path: str) -> str:
    if not os.path.isabs(path):
        message = f"{path!r} is relative; give an absolute path"
        raise InvalidRequest(message)
    return os.path.realpath(path)


def _common_folder(paths: Sequence[str]) -> str:
    return os.path.commonpath([p if os.path.isdir(p) else os.path.dirname(p) for p in paths])


def _holds(source: str, paths: Sequence[str]) -> bool:
    return bool(source) and all(os.path.commonpath([source, path]) == source for path in paths)


def _is_held(catalog: Catalog, paths: Sequence[str], collection: str | None) -> bool:
    """Tell whether a collection, or the named one, holds paths, and its source is still there."""
    sources = [
        source
        for name, source in _sources(catalog).items()
        if collection in (None, name) and _holds(source, paths)
    ]
    return bool(sources) and all(map(os.path.isdir, sources))


def _source(manifest: Manifest, paths: Sequence[str]) -> str:
    if _holds(manifest.source, paths):
        return manifest.source
    holds = manifest.source or "chunks that were handed in"
    message = (
        f"collection {manifest.collection!r} holds {holds}, and not {', '.join(paths)}; "
        "take another --collection, or delete this one first"
    )
    raise InvalidRequest(message)


def _fitting(catalog: Catalog, paths: Sequence[str], slug: str) -> tuple[str, str] | None:
    """Return the collection of the innermost source; of several, the one named after the folder.

    Raises:
        InvalidRequest: Several fit, and none is named so.
    """
    sources = {name: s for name, s in _sources(catalog).items() if _holds(s, paths)}
    if not sources:
        return None
    source = max(sources.values(), key=len)
    names = [name for name, held in sources.items() if held == source]
    if len(names) > 1 and slug not in names:
        message = f"collections {', '.join(names)} all hold {source}; name one with --collection"
        raise InvalidRequest(message)
    return (slug if slug in names else names[0]), source


def _new(catalog: Catalog, root: str) -> tuple[str, str]:
    slug = _slug(root)
    if slug in catalog.names():
        slug += "-" + hashlib.blake2b(root.encode(), digest_size=3).hexdigest()
    return slug, root


def _slug(folder: str) -> str:
    base = os.path.basename(folder).lower() or "root"
    return re.sub(r"[^a-z0-9._-]+", "-", base).strip("._-")[:_NAME_CHARS] or "folder"


def _sources(catalog: Catalog) -> dict[str, str]:
    sources = {}
    for name in catalog.names():
        try:
            manifest = catalog.find(name)
        except CorruptData:
            continue
        if manifest:
            sources[name] = manifest.source
    return sources
