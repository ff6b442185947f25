"""What a walk over a folder can come to, by its rules; asked about single paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial

from actors.choice import EVERYTHING, Choice
from cluster.ingest.choosing import Chooser
from cluster.ingest.ignore import IgnoreRules, Layer, is_ignored, layer_of, layers_above

VERSION_CONTROL = frozenset({".git", ".hg", ".svn"})
"""Never entered, whatever an ignore file says."""

NOT_WORTH_INDEXING = (
    "node_modules/",
    "bower_components/",
    "__pycache__/",
    "site-packages/",
    ".venv/",
    ".tox/",
    ".nox/",
    ".eggs/",
    "*.egg-info/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".ipynb_checkpoints/",
    ".gradle/",
    ".terraform/",
    ".next/",
    ".cache/",
    ".DS_Store",
)
"""Made or fetched by tools, not written by anyone; an ignore file's `!name/` re-includes one."""


class Reach:
    """The rules of a folder and of those below it, each read once, when it is first asked for.

    Args:
        root: The folder that paths are relative to, without symbolic links.
        tops: Where walks begin, relative to the root; they are reached though a rule ignores them.
        rules: Returns the rules that stand in a folder, which is "" or ends with a slash; None for
            a folder of this machine, where what stands above the root holds too.
        choice: What is taken of all that the rules leave.

    Attributes:
        chooser: Tells why not, by the choice.
    """

    def __init__(
        self,
        root: str,
        tops: Collection[str] = ("",),
        rules: Callable[[str], Layer] | None = None,
        choice: Choice = EVERYTHING,
    ) -> None:
        self.chooser = Chooser(choice)
        self._tops = frozenset(tops)
        self._rules = rules or partial(_local_rules, root)
        built_in = Layer(IgnoreRules.parse("\n".join(NOT_WORTH_INDEXING)))
        self._outer = (built_in, *(() if rules else layers_above(root)))
        self._layers: dict[str, tuple[Layer, ...]] = {}
        self._open_folders: dict[str, bool] = {}

    def layers_in(self, folder: str) -> tuple[Layer, ...]:
        """Return the rules that apply to the entries of a folder, its own included."""
        if folder not in self._layers:
            own = self._rules(f"{folder}/" if folder else "")
            self._layers[folder] = (*self.layers_above(folder), own)
        return self._layers[folder]

    def layers_above(self, path: str) -> tuple[Layer, ...]:
        """Return the rules that apply to a path, those that stand in it excluded."""
        return self.layers_in(path.rpartition("/")[0]) if path else self._outer

    def is_open(self, path: str, is_folder: bool) -> bool:
        """Tell whether a walk from one of the tops comes to a path, links aside."""
        if path in self._tops:
            return True
        if not path:
            return False
        folder, _, name = path.rpartition("/")
        if (is_folder and name in VERSION_CONTROL) or not self._is_open_folder(folder):
            return False
        if is_ignored(path, is_folder, self.layers_in(folder)):
            return False
        return not self.chooser.why_not(path, is_folder)

    def _is_open_folder(self, path: str) -> bool:
        if path not in self._open_folders:
            self._open_folders[path] = self.is_open(path, is_folder=True)
        return self._open_folders[path]


def _local_rules(root: str, folder: str) -> Layer:
    return layer_of(os.path.join(root, folder), len(folder))
