"""What can be indexed, by name: folders, object-store prefixes, git repositories, clients' folders.

All but folders are written `scheme://…`, and all but repositories have places below them.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence

from actors.errors import InvalidRequest

GIT = "git+"
CLIENT = "client"
_STORES = frozenset({"s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_uri(place: str) -> bool:
    """Tell whether a place is no folder of any machine; such a name is never made absolute."""
    return _SCHEME.match(place) is not None


def is_git(place: str) -> bool:
    """Tell whether a place is a git repository."""
    return place.startswith(GIT)


def store_prefix(uri: str) -> str:
    """Return the one form of an object-store URI, without a slash at its end.

    Raises:
        InvalidRequest: It is none of a store that is known, or names no bucket.
    """
    scheme, _, rest = uri.partition("://")
    bucket, *steps = rest.split("/")
    if scheme.lower() not in _STORES:
        message = (
            f"{uri} cannot be indexed; take a folder, s3://, gs:// or az://bucket/prefix, or "
            "git+https://host/repository@revision"
        )
        raise InvalidRequest(message)
    kept = [step for step in steps if step]
    if not bucket or ":" in bucket or not {".", ".."}.isdisjoint(kept):
        message = (
            f"{uri} is no place in a bucket; write s3://bucket/prefix, and give credentials "
            "by the environment"
        )
        raise InvalidRequest(message)
    return "/".join((f"{scheme.lower()}://{bucket}", *kept))


def common_folder(folders: Sequence[str]) -> str:
    """Return the innermost place that holds all of these, all of one kind.

    Raises:
        InvalidRequest: There is none.
    """
    try:
        if not is_uri(folders[0]):
            return os.path.commonpath(folders)
        parted = [folder.partition("://") for folder in folders]
        (scheme,) = {scheme for scheme, _, _ in parted}
        shared = posixpath.commonpath([rest for _, _, rest in parted])
    except ValueError:  # of several drives, or stores
        shared = ""
    if not shared:
        message = f"{', '.join(folders)} have no folder in common; index one after the other"
        raise InvalidRequest(message)
    return f"{scheme}://{shared}"


def holds(folder: str, place: str) -> bool:
    """Tell whether a place is a folder or lies below it."""
    if is_git(folder):
        return place == folder
    separator = "/" if is_uri(folder) else os.sep
    return place == folder or place.startswith(folder.rstrip(separator) + separator)


def below(folder: str, place: str) -> str:
    """Return the way from a folder to what it holds, with forward slashes; "" for itself."""
    rest = place[len(folder) :]
    return (rest if is_uri(folder) else rest.replace(os.sep, "/")).strip("/")
