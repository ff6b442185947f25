"""Source code of other languages: the comment before a definition, and the definition."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterator
from pathlib import PurePath

from training.pairs.pair import Pair, make_pair, summary_of

LANGUAGES = {
    ".c": "c", ".h": "c", ".cc": "c", ".cpp": "c", ".hpp": "c", ".hh": "c",
    ".go": "go", ".rs": "rust", ".java": "java", ".rb": "ruby", ".php": "php",
    ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".ts": "javascript",
    ".pl": "perl", ".pm": "perl", ".sh": "shell", ".lua": "lua",
}  # fmt: skip
"""Kind of pair by the end of a file's name."""

_BLOCK = r"[ \t]*/\*(?s:.{,4000}?)\*/[ \t]*\n"
_SLASHES = r"(?:[ \t]*//[/!]?(?!/).*\n)+"
_HASHES = r"(?:[ \t]*#(?![!{]).*\n)+"
_DASHES = r"(?:[ \t]*--.*\n)+"
_SIGNS = {"ruby": _HASHES, "perl": _HASHES, "shell": _HASHES, "lua": _DASHES}
_COMMENTS = {
    kind: re.compile(f"^(?:{_SIGNS.get(kind, f'{_SLASHES}|{_BLOCK}')})", re.MULTILINE)
    for kind in set(LANGUAGES.values())
}
_MARKERS = re.compile(r"^[ \t]*(?://[/!]?|/\*\*?|\*/?|#+|---?)?[ \t]?", re.MULTILINE)
_TAGS = re.compile(r"</?[A-Za-z][^<>]*>")
_INLINE = re.compile(r"\{@\w+\s+([^{}]*)\}")
_FIELDS = re.compile(r"^[ \t]*[@\\](?!brief|p\b|c\b|a\b|ref)[a-z]+\b", re.MULTILINE)
_BRIEF = re.compile(r"[@\\](?:brief|p|c|a|ref)\s")
_CLOSING = ("}", ";", ",", "end")
_OPENING = ("//", "/*", "#", "--")
_LONGEST = 30  # lines of a definition
_MOST_CHARACTERS = 2_400
_FEWEST_REST = 80


def pairs_of_code(text: str, path: str, source: str) -> Iterator[Pair]:
    """Yield the pairs of one file, whose language its name tells."""
    kind = LANGUAGES[PurePath(path).suffix]
    for match in _COMMENTS[kind].finditer(text):
        lines = match.group()
        indent = len(lines) - len(lines.lstrip(" \t"))
        code = definition(text[match.end() : match.end() + _MOST_CHARACTERS], indent)
        summary, rest = _told(lines)
        if code and len(code.split()) > 2:  # noqa: PLR2004 - `}` and `else {` define nothing
            yield from filter(None, [make_pair(kind, source, summary, textwrap.dedent(code))])
        if len(rest) >= _FEWEST_REST:
            yield from filter(None, [make_pair("docstring", source, summary, rest)])


def definition(text: str, indent: int) -> str:
    """Return the lines after a comment, up to the end of what it stands before.

    That end is a closing brace or an `end` as far in as the comment, a line further out, or a
    blank line where no block is open.
    """
    kept: list[str] = []
    for line in text.split("\n")[:_LONGEST]:
        depth = len(line) - len(line.lstrip())
        bare = line.strip()
        if bare and depth < indent:
            break
        closed = bool(kept) and kept[-1].rstrip().endswith(_CLOSING)
        if (not bare and (closed or not kept)) or (closed and bare.startswith(_OPENING)):
            break
        kept.append(line)
        if depth == indent and bare.rstrip(";,)") in {"}", "end"}:
            break
    return "\n".join(kept).strip("\n")


def _told(comment: str) -> tuple[str, str]:
    """Return a comment's first paragraph, and the rest, without markers and tags."""
    plain = _MARKERS.sub("", comment)
    plain = _INLINE.sub(r"\1", _BRIEF.sub("", plain))
    plain = html.unescape(_TAGS.sub(" ", plain)).strip()
    fields = _FIELDS.search(plain)
    told = plain[: fields.start()].strip() if fields else plain
    return summary_of(told)
