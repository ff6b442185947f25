"""Ignore files, matched exactly as git matches them.

A walk that prunes asks about one entry at a time, never about the folders above it. So a pattern
has to match the entry itself, not what lies below: `!lib/` re-includes the folder `lib` but no
file in it that another pattern ignores, and `lib/**` matches what is in `lib` but not `lib`.

Source: gitignore(5), and `dir.c` and `wildmatch.c` of git.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

GIT_EXCLUDE = ".git/info/exclude"
IGNORE_FILES = (".gitignore", ".shoalignore")
"""Read in this order in each folder: the later is the stronger."""

_RULE_SOURCES = frozenset({".git", *IGNORE_FILES})
MAX_RULE_BYTES = 1024 * 1024
_NEVER = "(?!)"
_SPECIAL = frozenset("*?[\\")
_STAR = "[^/]*"
_DEEP = "(?:.*/)?"
_LAZY = {_STAR: "[^/]*?", _DEEP: "(?:.*?/)??"}
_POSIX_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


class _Pattern(NamedTuple):
    ignores: bool
    only_folders: bool
    by_name: bool
    regex: str


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring patterns of one sign, as two regular expressions: one answers for all."""

    ignores: bool
    names: re.Pattern[str] | None
    paths: re.Pattern[str] | None

    def matches(self, name: str, path: str) -> bool:
        return bool(
            (self.names is not None and self.names.fullmatch(name))
            or (self.paths is not None and self.paths.fullmatch(path))
        )


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules of one folder, the last first."""

    for_files: tuple[_Run, ...]
    for_folders: tuple[_Run, ...]

    @classmethod
    def parse(cls, text: str) -> IgnoreRules:
        """Read ignore-file syntax: one pattern a line, later lines stronger."""
        patterns = [found for line in text.split("\n") if (found := _pattern(line)) is not None]
        return cls(_runs(each for each in patterns if not each.only_folders), _runs(patterns))

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """Say whether these rules ignore an entry.

        Args:
            path: Path relative to the folder of the rules, with forward slashes.
            is_folder: Whether the entry is a folder.

        Returns:
            True for ignored, False for re-included, None where no pattern matches.
        """
        name = path.rpartition("/")[2]
        for run in self.for_folders if is_folder else self.for_files:
            if run.matches(name, path):
                return run.ignores
        return None


class Layer(NamedTuple):
    """One folder's rules, and how to turn a path relative to the root into one relative to it.

    Attributes:
        rules: The rules.
        cut: How many characters of the path lead to the folder, where it lies below the root.
        prefix: The way from the folder to the root, where it lies above.
    """

    rules: IgnoreRules
    cut: int = 0
    prefix: str = ""


def is_ignored(path: str, is_folder: bool, layers: Sequence[Layer]) -> bool:
    """Say whether an entry is ignored, its folder being none that is.

    Args:
        path: Path relative to the root, with forward slashes.
        is_folder: Whether the entry is a folder.
        layers: The rules that apply, the strongest (deepest) last.
    """
    for layer in reversed(layers):
        verdict = layer.rules.verdict(layer.prefix + path[layer.cut :], is_folder)
        if verdict is not None:
            return verdict
    return False


def has_rules(names: Iterable[str]) -> bool:
    """Tell whether a folder with these entries may have rules of its own."""
    return not _RULE_SOURCES.isdisjoint(names)


def layer_of(folder: str, cut: int = 0, prefix: str = "") -> Layer:
    """Read the rules that stand in one folder, the repository's own exclude file included."""
    return layer_from(lambda source: _content(os.path.join(folder, source)), cut, prefix)


def layer_from(content: Callable[[str], str], cut: int = 0, prefix: str = "") -> Layer:
    """Parse a folder's rules; `content` gives the text of a file in it, "" where there is none."""
    text = "\n".join(map(content, (GIT_EXCLUDE, *IGNORE_FILES)))
    return Layer(IgnoreRules.parse(text), cut, prefix)


def check_glob(glob: str) -> str:
    """Return a glob if it chooses paths, as a line of an ignore file that ignores them does.

    Raises:
        ValueError: It is empty, a comment, negated or several lines.
    """
    pattern = None if "\n" in glob else _pattern(glob)
    if pattern is None or not pattern.ignores:
        message = f"{glob!r} is no glob that paths match; take one as 'src/' or '*.py'"
        raise ValueError(message)
    return glob


def rules_text(data: bytes) -> str:
    """Return the text of an ignore file's bytes."""
    return data[:MAX_RULE_BYTES].decode("utf-8-sig", "surrogateescape")


def layers_above(root: str) -> list[Layer]:
    """Read the rules of the folders above a root, if it lies in a git repository below its top."""
    layers: list[Layer] = []
    folder, prefix = root, ""
    while not os.path.lexists(os.path.join(folder, ".git")):
        above, name = os.path.split(folder)
        if above == folder:
            return []
        folder, prefix = above, f"{name}/{prefix}"
        layers.append(layer_of(folder, prefix=prefix))
    return layers[::-1]


def _content(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return rules_text(stream.read(MAX_RULE_BYTES))
    except OSError:
        return ""


def _runs(patterns: Iterable[_Pattern]) -> tuple[_Run, ...]:
    runs: list[_Run] = []
    for ignores, group in groupby(patterns, lambda pattern: pattern.ignores):
        run = list(group)
        names = [each.regex for each in run if each.by_name]
        paths = [each.regex for each in run if not each.by_name]
        runs.append(_Run(ignores, _any_of(names), _any_of(paths)))
    return tuple(reversed(runs))


def _any_of(regexes: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(regexes), re.DOTALL) if regexes else None


def _pattern(line: str) -> _Pattern | None:
    line = _trimmed(line.removesuffix("\r"))
    if not line or line.startswith("#"):
        return None
    ignores = not line.startswith("!")
    glob = line if ignores else line[1:]
    only_folders = glob.endswith("/")
    glob = glob[:-1] if only_folders else glob
    if not glob:
        return None
    return _Pattern(ignores, only_folders, "/" not in glob, _translate(glob.removeprefix("/")))


def _trimmed(line: str) -> str:
    """Drop trailing spaces, but not one behind a backslash."""
    bare = line.rstrip(" ")
    escaped = (len(bare) - len(bare.rstrip("\\"))) % 2 == 1
    return bare + " " if escaped and len(bare) < len(line) else bare


def _translate(glob: str) -> str:
    """Turn a glob into a regular expression; one that git never matches becomes `_NEVER`."""
    parts = list(_parts(glob))
    if _NEVER in parts:
        return _NEVER
    groups = "".join(parts).split(_DEEP)
    return _spanned([_spanned(group.split(_STAR), _STAR) for group in groups], _DEEP)


def _spanned(pieces: list[str], span: str) -> str:
    """Join pieces by something of any length.

    Each but the last is settled where it matches first, which leaves most to what follows: with
    atomic groups a pattern full of stars costs no more than a plain one.
    """
    first, *middle = pieces
    if not middle:
        return first
    last = middle.pop()
    return first + "".join(f"(?>{_LAZY[span]}{each})" for each in middle) + span + last


def _parts(glob: str) -> Iterator[str]:
    at = 0
    while at < len(glob):
        char = glob[at]
        if char == "*":
            part, at = _stars(glob, at)
        elif char == "[":
            part, at = _bracket(glob, at)
        elif char == "\\":
            part, at = (re.escape(glob[at + 1]) if at + 1 < len(glob) else _NEVER), at + 2
        else:
            part, at = ("[^/]" if char == "?" else re.escape(char)), at + 1
        yield part


def _stars(glob: str, at: int) -> tuple[str, int]:
    """Translate a run of stars; two span folders only where git sees them begin a name.

    That is behind a slash, and (git matches it apart) behind the plain text a pattern begins with.
    """
    end = at
    while glob.startswith("*", end):
        end += 1
    opens = glob[at - 1 : at] == "/" or _SPECIAL.isdisjoint(glob[:at])
    if end - at == 1 or not opens:
        return _STAR, end
    if glob.startswith("/", end):
        return _DEEP, end + 1
    return (".*" if end == len(glob) else _STAR), end


def _bracket(glob: str, at: int) -> tuple[str, int]:
    """Translate `[...]`; git lets it match anything but a slash, and never if it is not closed."""
    start = at + 1
    negated = glob[start : start + 1] in {"!", "^"}
    at = first = start + negated
    members: list[str] = []
    while at < len(glob) and (glob[at] != "]" or at == first):
        member, at = _member(glob, at)
        members.append(member)
    if at >= len(glob) or _NEVER in members:
        return _NEVER, at
    return f"(?!/)[{'^' if negated else ''}{''.join(members)}]", at + 1


def _member(glob: str, at: int) -> tuple[str, int]:
    named = re.compile(r"\[:(\w*):\]").match(glob, at)
    if named:
        return _POSIX_CLASSES.get(named[1], _NEVER), named.end()
    low, at = _literal(glob, at)
    if not (glob.startswith("-", at) and at + 1 < len(glob) and glob[at + 1] != "]"):
        return re.escape(low), at
    high, at = _literal(glob, at + 1)
    return (f"{re.escape(low)}-{re.escape(high)}" if low <= high else re.escape(low)), at


def _literal(glob: str, at: int) -> tuple[str, int]:
    if glob[at] == "\\" and at + 1 < len(glob):
        at += 1
    return glob[at], at + 1
