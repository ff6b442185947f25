"""Which collection a call to index means, and what its paths are relative to."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from actors.catalog import Catalog, Manifest, check_name
from actors.choice import EVERYTHING, Choice
from actors.errors import CorruptData, InvalidRequest, NotFound
from cluster.addresses import below, common_folder, holds, is_git, is_uri, store_prefix
from cluster.repository import masked, repository

_NAME_CHARS = 40


@dataclass(frozen=True, slots=True)
class Target:
    """What is indexed into which collection.

    Attributes:
        collection: Its name.
        root: What the collection's paths are relative to: a folder or a URI.
        scopes: Folders and files below the root to bring up to date, relative; "" is all.
        choice: Which files it takes from now on; where none is made, those it took before.
    """

    collection: str
    root: str
    scopes: tuple[str, ...]
    choice: Choice = EVERYTHING


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call wants indexed, whatever its collection.

    Attributes:
        places: Folders, files and URIs, each in the one form that names it.
        folder: The innermost folder that holds them: the root of a new collection.
    """

    places: tuple[str, ...]
    folder: str


def choose_target(
    catalog: Catalog,
    paths: Sequence[str],
    collection: str | None,
    choice: Choice = EVERYTHING,
) -> Target:
    """Find the collection that `paths` belong to, or name a new one.

    Without a name, the collection whose source holds all paths is brought up to date (the
    innermost, if several do); where there is none, a new one is named after their folder.
    A path that is gone may be named where a collection holds it: what was stored below it goes.

    Raises:
        NotFound: A path does not exist, and no collection holds it whose source does.
        InvalidRequest: The named collection does not hold these paths, they are of two kinds, or
            they are a part of a collection that makes another choice.
        StorageError: An object store does not answer.
    """
    asked = wanted(paths)
    gone = next((p for p in asked.places if not is_uri(p) and not os.path.exists(p)), None)
    if gone and not _is_held(catalog, asked, collection):
        message = f"{gone} does not exist on the gateway's machine; check the path"
        raise NotFound(message)
    return target_of(catalog, asked, collection, choice)


def wanted(paths: Sequence[str]) -> Wanted:
    """Return what is meant by folders and files of this machine, by URIs, or by a repository.

    Raises:
        InvalidRequest: They are of two kinds, or one cannot be.
        StorageError: An object store does not answer.
    """
    kinds = {(is_uri(path), is_git(path)) for path in paths}
    if len(kinds) > 1 or (any(map(is_git, paths)) and len(paths) > 1):
        message = f"{', '.join(map(masked, paths))} are of several kinds; index one after the other"
        raise InvalidRequest(message)
    if is_git(paths[0]):
        url = str(repository(paths[0]))
        return Wanted((url,), url)
    if is_uri(paths[0]):
        return _stored([store_prefix(path) for path in paths])
    real = [_real(path) for path in paths]
    folder = common_folder([p if os.path.isdir(p) else os.path.dirname(p) for p in real])
    return Wanted(tuple(real), folder)


def target_of(
    catalog: Catalog, wanted: Wanted, collection: str | None, choice: Choice = EVERYTHING
) -> Target:
    """Find or name the collection of what is wanted; see `choose_target`."""
    if collection is not None:
        manifest = catalog.find(check_name(collection))
        root = wanted.folder if manifest is None else _source(manifest, wanted)
    else:
        collection, root = _fitting(catalog, wanted) or _new(catalog, wanted.folder)
    root = _place(root)
    scopes = tuple(below(root, place) for place in wanted.places)
    if choice and "" not in scopes:
        _refuse_another_choice(catalog.find(collection), choice)
    return Target(collection, root, scopes, choice)


def _refuse_another_choice(found: Manifest | None, choice: Choice) -> None:
    """Refuse a choice over a part of a collection, whose rest would be as another left it."""
    if found and found.choice != choice:
        message = (
            f"include and exclude are those of a whole collection, and {found.collection!r} holds "
            f"all of {found.source} ({found.choice or 'everything'}): index that with them, or "
            "this path into another collection"
        )
        raise InvalidRequest(message)


def _stored(uris: list[str]) -> Wanted:
    from cluster.ingest.stored import is_object  # noqa: PLC0415 - what names folders needs no store

    folders = [uri.rpartition("/")[0] if is_object(uri) else uri for uri in uris]
    return Wanted(tuple(uris), common_folder(folders))


def _real(path: str) -> str:
    if not os.path.isabs(path):
        message = f"{path!r} is relative; give an absolute path"
        raise InvalidRequest(message)
    return os.path.realpath(path)


def _place(source: str) -> str:
    """Return the place that a collection's source is, whichever revision of it."""
    return str(repository(source)) if is_git(source) else source


def _holds(source: str, wanted: Wanted) -> bool:
    return bool(source) and all(holds(_place(source), place) for place in wanted.places)


def _is_held(catalog: Catalog, wanted: Wanted, collection: str | None) -> bool:
    """Tell whether a collection, or the named one, holds places, and its source is still there."""
    sources = [
        source
        for name, source in _sources(catalog).items()
        if collection in (None, name) and _holds(source, wanted)
    ]
    return bool(sources) and all(map(os.path.isdir, sources))


def _source(manifest: Manifest, wanted: Wanted) -> str:
    if _holds(manifest.source, wanted):
        return manifest.source
    source = manifest.source or "chunks that were handed in"
    message = (
        f"collection {manifest.collection!r} holds {source}, and not {', '.join(wanted.places)}; "
        "take another --collection, or delete this one first"
    )
    raise InvalidRequest(message)


def _fitting(catalog: Catalog, wanted: Wanted) -> tuple[str, str] | None:
    """Return the collection of the innermost source; of several, the one named after the folder.

    Raises:
        InvalidRequest: Several fit, and none is named so.
    """
    sources = {name: s for name, s in _sources(catalog).items() if _holds(s, wanted)}
    if not sources:
        return None
    slug = _slug(wanted.folder)
    source = max(sources.values(), key=lambda source: len(_place(source)))
    names = [name for name, held in sources.items() if _place(held) == _place(source)]
    if len(names) > 1 and slug not in names:
        message = f"collections {', '.join(names)} all hold {source}; name one with --collection"
        raise InvalidRequest(message)
    name = slug if slug in names else names[0]
    return name, sources[name]


def _new(catalog: Catalog, root: str) -> tuple[str, str]:
    slug = _slug(root)
    if slug in catalog.names():
        slug += "-" + hashlib.blake2b(root.encode(), digest_size=3).hexdigest()
    return slug, root


def _slug(folder: str) -> str:
    last = folder.rpartition("/")[2] if is_uri(folder) else os.path.basename(folder)
    base = (last.removesuffix(".git") if is_git(folder) else last).lower() or "root"
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
