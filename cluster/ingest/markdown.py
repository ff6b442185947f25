"""Where to cut Markdown: at headings, under the trail of headings that leads there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.ingest.packing import Piece, Source

SEPARATOR = " > "
"""Between the headings of a trail: "Guide > Install > Linux"."""

_MAX_TITLE_CHARS = 80
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_NO_TITLE = re.compile(r"[ \t]{4,}|[ \t]*(?:[-*+>|#]|\d+[.)])(?:[ \t]|$)|[ \t]*$")
_INLINE = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*]|\{#[^}]*\}")


def pieces(source: Source) -> list[Piece]:
    """Cut a Markdown file into its sections.

    Args:
        source: The file's rows.

    Returns:
        One piece a heading, with what stands under it up to the next heading of any level, and
        one for what stands before the first.
    """
    lines = source.text.split("\n")
    found: list[Piece] = []
    start, trail = 0, ""
    titles: list[tuple[int, str]] = []
    for row, level, title in _headings(lines):
        found.append(_section(start, row, trail))
        titles = [*(each for each in titles if each[0] < level), (level, title)]
        start, trail = row, SEPARATOR.join(each for _, each in titles if each)
    found.append(_section(start, source.rows, trail))
    return [piece for piece in found if piece.end > piece.start]


def _section(start: int, end: int, trail: str) -> Piece:
    return Piece(start, end, name=trail)


def _headings(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the row, level and title of each heading outside fences and front matter."""
    fence = ""
    for row in range(_after_front_matter(lines), len(lines)):
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


def _is_title(lines: list[str], row: int) -> bool:
    """Tell whether a row can be the text of a setext heading: one line of plain paragraph."""
    alone = row == 0 or not lines[row - 1].strip()
    return alone and not _NO_TITLE.match(lines[row])


def _after_front_matter(lines: list[str]) -> int:
    mark = lines[0].rstrip()
    if mark not in {"---", "+++"}:
        return 0
    ends = {mark, "..."} if mark == "---" else {mark}
    closing = (row for row, line in enumerate(lines) if row and line.rstrip() in ends)
    return next(closing, -1) + 1


def _title(text: str) -> str:
    plain = _INLINE.sub(lambda found: found[1] or "", text)
    return " ".join(plain.split())[:_MAX_TITLE_CHARS]
