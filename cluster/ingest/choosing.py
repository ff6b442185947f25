"""A collection's choice of files, asked about single paths."""

from __future__ import annotations

from collections.abc import Sequence

from actors.choice import Choice
from cluster.ingest.ignore import IgnoreRules

EXCLUDED, NOT_INCLUDED = "excluded", "not included"


class Chooser:
    """Tells why a choice leaves a path out.

    Args:
        choice: What is taken.
    """

    def __init__(self, choice: Choice) -> None:
        self._include = _Globs(choice.include) if choice.include else None
        self._exclude = _Globs(choice.exclude)

    def why_not(self, path: str, is_folder: bool = False) -> str:
        """Return why a file is not taken, or why nothing in a folder is; "" where that may be."""
        if self._exclude.cover(path, is_folder):
            return EXCLUDED
        if is_folder or self._include is None or self._include.cover(path, is_folder):
            return ""
        return NOT_INCLUDED


class _Globs:
    """Globs that cover what they match, and all that lies below it."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._rules = IgnoreRules.parse("\n".join(globs))
        self._folders = {"": False}

    def cover(self, path: str, is_folder: bool) -> bool:
        return bool(self._rules.verdict(path, is_folder)) or self._cover_folder(_folder_of(path))

    def _cover_folder(self, path: str) -> bool:
        if path not in self._folders:
            self._folders[path] = self.cover(path, is_folder=True)
        return self._folders[path]


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]
