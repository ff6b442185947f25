"""The headings of Markdown: found where a file is cut, and again where one is looked up by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

SEPARATOR = " > "
"""Between the headings of a trail: "Guide > Install > Linux"."""

_MAX_TITLE_CHARS = 80
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_NO_TITLE = re.compile(r"[ \t]{4,}|[ \t]*(?:[-*+>|#]|\d+[.)])(?:[ \t]|$)|[ \t]*$")
_INLINE = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*]|\{#[^}]*\}")


def headings(lines: Sequence[str], first: int = 0) -> Iterator[tuple[int, int, str]]:
    """Yield the row, level and title of each heading outside fences, from a row on."""
    fence = ""
    for row in range(first, len(lines)):
        line = lines[row]
        if mark := _FENCE.match(line):
            fence = _next_fence(fence, mark[1], mark[2])
        elif fence:
            continue
        elif heading := _ATX.match(line):
            yield row, len(heading[1]), _title(heading[2] or "")
        elif row and (rule := _SETEXT.match(line)) and _is_title(lines, row - 1):
            yield row - 1, 1 if rule[1][0] == "=" else 2, _title(lines[row - 1])


def _next_fence(fence: str, mark: str, rest: str) -> str:
    """Return the fence that is open after a line that looks like one."""
    if not fence:
        return "" if mark[0] == "`" and "`" in rest else mark
    closes = mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip()
    return "" if closes else fence


def _is_title(lines: Sequence[str], row: int) -> bool:
    """Tell whether a row can be the text of a setext heading: one line of plain paragraph."""
    alone = row == 0 or not lines[row - 1].strip()
    return alone and not _NO_TITLE.match(lines[row])


def after_front_matter(lines: Sequence[str]) -> int:
    """Return the row on which a file's text begins."""
    mark = lines[0].rstrip()
    if mark not in {"---", "+++"}:
        return 0
    ends = {mark, "..."} if mark == "---" else {mark}
    closing = (row for row, line in enumerate(lines) if row and line.rstrip() in ends)
    return next(closing, -1) + 1


def _title(text: str) -> str:
    plain = _INLINE.sub(lambda found: found[1] or "", text)
    return " ".join(plain.split())[:_MAX_TITLE_CHARS]
