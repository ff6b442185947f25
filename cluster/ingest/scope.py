"""Where a walk begins: a folder, or a place inside it."""

from __future__ import annotations

import os
from pathlib import Path

from actors.errors import InvalidRequest, NotFound
from cluster.ingest.reach import VERSION_CONTROL


def real_root(root: Path) -> str:
    """Return a folder's real path.

    Raises:
        NotFound: It does not exist.
        InvalidRequest: It is no folder.
    """
    real = os.path.realpath(root)
    if not os.path.exists(real):
        raise NotFound(f"{root} does not exist")
    if not os.path.isdir(real):
        raise InvalidRequest(f"{root} is not a folder; name it as the scope of its folder")
    return real


def relative_scope(top: str, root: Path, scope: Path | None) -> str:
    """Return the scope relative to the root, with forward slashes; "" for all of it.

    Args:
        top: The root's real path.
        root: The root as it was given.
        scope: As it was given: relative to the root, or absolute.

    Raises:
        NotFound: It does not exist.
        InvalidRequest: It lies outside the root, or belongs to version control.
    """
    if scope is None:
        return ""
    given = os.path.abspath(root)
    named = os.path.abspath(os.path.join(given, scope))
    real = os.path.realpath(named)
    if not is_within(real, top):
        raise InvalidRequest(f"{scope} is not below {root}; name a place inside it")
    if not os.path.exists(real):
        raise NotFound(f"{scope} does not exist in {root}")
    pair = (named, given) if is_within(named, given) else (real, top)
    below = os.path.relpath(*pair).replace(os.sep, "/")
    if not VERSION_CONTROL.isdisjoint(below.split("/")):
        raise InvalidRequest(f"{scope} belongs to version control, which is never indexed")
    return "" if below == "." else below


def is_within(path: str, folder: str) -> bool:
    """Tell whether a place is a folder, or lies below it; both as the system writes them."""
    return path == folder or path.startswith(os.path.join(folder, ""))
