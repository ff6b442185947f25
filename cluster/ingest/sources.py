"""Where indexed files come from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.ingest.walk import FoundFile, WalkLimits, walk


@dataclass(frozen=True, slots=True)
class Found:
    """The files below a root, how many entries were left out, by reason, and what is unreadable."""

    files: tuple[FoundFile, ...]
    skipped: Counter[str]
    unreadable: tuple[str, ...]


def find_files(root: str, scopes: Sequence[str], limits: WalkLimits) -> Found:
    """Return the files of some folders and files below a root, each once."""
    files: dict[str, FoundFile] = {}
    skipped: Counter[str] = Counter()
    unreadable: list[str] = []
    for scope in scopes:
        if scope and not os.path.exists(os.path.join(root, scope)):
            continue  # what is stored below it is gone
        walked = walk(Path(root), Path(scope) if scope else None, limits)
        files.update((file.path, file) for file in walked.files)
        skipped.update(walked.skipped)
        unreadable += walked.unreadable
    return Found(tuple(files.values()), skipped, tuple(unreadable))
