"""Where to cut Markdown: at headings, under the trail of headings that leads there."""

from __future__ import annotations

from actors.headings import SEPARATOR, after_front_matter, headings
from cluster.ingest.packing import Piece, Source


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
    for row, level, title in headings(lines, after_front_matter(lines)):
        found.append(_section(start, row, trail))
        titles = [*(each for each in titles if each[0] < level), (level, title)]
        start, trail = row, SEPARATOR.join(each for _, each in titles if each)
    found.append(_section(start, source.rows, trail))
    return [piece for piece in found if piece.end > piece.start]


def _section(start: int, end: int, trail: str) -> Piece:
    return Piece(start, end, name=trail)
