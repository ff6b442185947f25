"""Where files come from, behind two functions: which there are, and what one holds.

A root is a folder, or an object-store URI. Rules, limits, skips and order are those of `walk` for
both. What reads stores is imported where there is one: clients read folders alone.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.choice import EVERYTHING, Choice
from cluster.addresses import is_uri
from cluster.ingest.walk import FoundFile, Walk, WalkLimits, walk


@dataclass(frozen=True, slots=True)
class Found:
    """What is worth reading.

    Attributes:
        files: The files, in a stable order, each once.
        skipped: Reason → entries left out; an ignored folder counts once.
        unreadable: Paths of the entries that cannot be read.
        unchanged: Path → content hash of files that are there and need not be read.
    """

    files: list[FoundFile]
    skipped: Counter[str]
    unreadable: Sequence[str] = ()
    unchanged: Mapping[str, str] = field(default_factory=dict)


def find_files(
    root: str, scopes: Sequence[str], limits: WalkLimits, choice: Choice = EVERYTHING
) -> Found:
    """Find the files of a folder or an object-store prefix that are worth indexing; see `walk`.

    Args:
        root: What paths are relative to: a folder, or a URI such as `s3://bucket/prefix`.
        scopes: Folders and files below the root to look into, relative; "" is all of it.
        limits: What is left out for its size.
        choice: What is taken of the rest.

    Raises:
        NotFound: The root does not exist; a prefix without objects, or a scope, is just empty.
        InvalidRequest: The root is no folder, or a scope lies outside it.
        StorageError: The object store does not answer, or refuses.
    """
    files: dict[str, FoundFile] = {}
    skipped: Counter[str] = Counter()
    unreadable: list[str] = []
    for scope in scopes:
        walked = _walked(root, scope, limits, choice)
        if walked is None:
            continue  # what is stored below it is gone
        files.update((file.path, file) for file in walked.files)
        skipped.update(walked.skipped)
        unreadable += walked.unreadable
    return Found(list(files.values()), skipped, unreadable)


def read_bytes(root: str, path: str, limit: int) -> bytes | None:
    """Read up to `limit` bytes of a file; None if it is no regular file (a pipe would never end).

    Args:
        root: As for `find_files`.
        path: The file, relative to it, with forward slashes.
        limit: The most that is read.

    Raises:
        OSError: It cannot be read.
        ValueError: No file can have such a path.
        StorageError: The object store does not answer.
    """
    if is_uri(root):
        from cluster.ingest.stored import read_object  # noqa: PLC0415 - see above

        return read_object(root, path, limit)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    opened = os.open(os.path.join(root, path), flags)
    with open(opened, "rb") as stream:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return None
        return stream.read(limit)


def _walked(root: str, scope: str, limits: WalkLimits, choice: Choice) -> Walk | None:
    if is_uri(root):
        from cluster.ingest.stored import walk_store  # noqa: PLC0415 - see above

        return walk_store(root, scope, limits, choice)
    if scope and not os.path.exists(os.path.join(root, scope)):
        return None
    return walk(Path(root), Path(scope) if scope else None, limits, choice)
