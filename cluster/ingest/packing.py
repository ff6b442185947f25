"""From pieces of a file to chunks of a good size: small neighbours join, large ones are cut."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from actors.messages import Chunk

MAX_CHARS = 1500
"""About 400 tokens of code: below the 512 that small embedding models read, so nothing is lost."""

TARGET_CHARS = 350
"""Below this a definition says too little to be found alone, and joins its small neighbours."""

CRUMB_CHARS = 200
"""Below this nothing stands alone if a neighbour has room: two lines are not worth a vector."""

MAX_NAMES = 3
"""How many definitions the symbol of a merged chunk names."""

_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s+")
_SPACE = re.compile(r"\s+")


class Head(NamedTuple):
    """How a definition begins.

    Attributes:
        row: Its row.
        text: What stands there up to its body, on one line: "def load(path: str) -> Item:".
    """

    row: int
    text: str


class Piece(NamedTuple):
    """A row range that belongs together; the pieces of a file follow each other without a gap.

    Attributes:
        start: First row, from 0.
        end: The row after the last.
        context: Qualified name of what the piece is a part of, or "".
        name: Qualified name of what the piece is the whole of, or "".
        head: That of the innermost definition that the piece is the whole or a part of.
    """

    start: int
    end: int
    context: str = ""
    name: str = ""
    head: Head | None = None


class Source:
    r"""A file's rows: what lies between two `\n`, and nothing else ends a row.

    Attributes:
        text: The whole text.
        starts: Character offset of each row, and of the one after the last.
    """

    __slots__ = ("starts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        lengths = [len(line) + 1 for line in text.split("\n")]
        self.starts = list(accumulate(lengths, initial=0))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.starts) - 1

    def size(self, start: int, end: int) -> int:
        """Characters of the rows from `start` up to `end`, without the last line break."""
        return self.starts[end] - self.starts[start] - 1

    def slice(self, start: int, end: int) -> str:
        """The rows from `start` up to `end`, without the last line break."""
        return self.text[self.starts[start] : self.starts[end] - 1]

    def is_blank(self, row: int) -> bool:
        """Whether a row holds nothing but white space."""
        line = self.text[self.starts[row] : self.starts[row + 1]]
        return line.isspace() or not line


class _Group:
    """Pieces on their way to becoming one chunk."""

    __slots__ = ("context", "end", "head", "names", "start")

    def __init__(self, piece: Piece) -> None:
        self.start, self.end, self.context, name, self.head = piece
        self.names = [name] if name else []

    def takes(self, piece: Piece, source: Source) -> bool:
        """Whether a piece is a sibling that the group is small enough for."""
        if piece.context != self.context or source.size(self.start, piece.end) > MAX_CHARS:
            return False
        if not self.names and not piece.name:
            return True
        here = source.size(self.start, self.end)
        return here < TARGET_CHARS and source.size(piece.start, piece.end) < TARGET_CHARS

    def add(self, piece: Piece) -> None:
        self.end = piece.end
        if piece.name:
            self.names.append(piece.name)

    def absorb(self, other: _Group) -> None:
        """Take over a neighbour, which may be part of something else."""
        first, second = (self, other) if self.start < other.start else (other, self)
        if self.context != other.context:
            names = [each.names or [each.context] for each in (first, second)]
            self.names = [name for own in names for name in own if name]
        else:
            self.names = first.names + second.names
        self.start, self.end = first.start, second.end

    @property
    def symbol(self) -> str:
        return ", ".join(dict.fromkeys(self.names[:MAX_NAMES])) or self.context


def pack(pieces: Iterable[Piece], source: Source, path: str, language: str) -> list[Chunk]:
    """Join small neighbours, cut what is too large, and leave out blank rows at the edges.

    Args:
        pieces: Row ranges in order; together all rows of the file.
        source: The file's rows.
        path: The file's path, for the chunks.
        language: The file's language, for the chunks.

    Returns:
        Chunks of at most `MAX_CHARS` characters. Each non-blank row lies in exactly one, but for
        a row that is longer than a chunk.
    """
    groups = list(_groups(_bounded(pieces, source), source))
    chunks: list[Chunk] = []
    for group in _without_crumbs(groups, source):
        chunks.extend(_emit(source, group, path, language))
    return chunks


def _bounded(pieces: Iterable[Piece], source: Source) -> Iterator[Piece]:
    """Cut pieces that are too large at blank rows where it can, else anywhere."""
    for piece in pieces:
        if source.size(piece.start, piece.end) <= MAX_CHARS:
            yield piece
            continue
        for start, end in _windows(source, piece.start, piece.end):
            yield Piece(start, end, piece.name or piece.context, head=piece.head)


def _windows(source: Source, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut rows into windows of at most `MAX_CHARS`, or of one row."""
    starts = source.starts
    while source.size(start, end) > MAX_CHARS and end - start > 1:
        most = bisect_right(starts, starts[start] + MAX_CHARS + 1, start + 2, end) - 1
        half = bisect_right(starts, starts[start] + MAX_CHARS // 2, start + 1, most)
        cut = next((row for row in range(most, half, -1) if source.is_blank(row)), most)
        yield start, cut
        start = cut
    yield start, end


def _groups(pieces: Iterable[Piece], source: Source) -> Iterator[_Group]:
    group: _Group | None = None
    for piece in pieces:
        if group is None:
            group = _Group(piece)
        elif group.takes(piece, source):
            group.add(piece)
        else:
            yield group
            group = _Group(piece)
    if group is not None:
        yield group


def _without_crumbs(groups: list[_Group], source: Source) -> Iterator[_Group]:
    """Join each crumb to the next group of its own scope, else to any neighbour it fits."""
    before: _Group | None = None
    for group, after in zip(groups, [*groups[1:], None], strict=True):
        if source.size(group.start, group.end) < CRUMB_CHARS:
            home = _home(group, before, after, source)
            if home is not None:
                home.absorb(group)
                continue
        if before is not None:
            yield before
        before = group
    if before is not None:
        yield before


def _home(
    crumb: _Group, before: _Group | None, after: _Group | None, source: Source
) -> _Group | None:
    """Choose the neighbour that takes a crumb, or None if it would grow too large."""
    fits_after = after is not None and source.size(crumb.start, after.end) <= MAX_CHARS
    fits_before = before is not None and source.size(before.start, crumb.end) <= MAX_CHARS
    if fits_after and (not fits_before or (after and after.context == crumb.context)):
        return after
    return before if fits_before else None


def _emit(source: Source, group: _Group, path: str, language: str) -> Iterator[Chunk]:
    """Yield a group's chunk without blank rows at its edges, or those of its one long row."""
    start, end = group.start, group.end
    while start < end and source.is_blank(start):
        start += 1
    while start < end and source.is_blank(end - 1):
        end -= 1
    text = source.slice(start, end) if start < end else ""
    signature = group.head.text if group.head and group.head.row < start else ""
    for part in _parts(text):
        if not part.isspace():
            yield Chunk(path, start + 1, end, language, group.symbol, part, signature)


def _parts(text: str) -> Iterator[str]:
    """Cut what is too long after a sentence where it can, else after a word, else anywhere."""
    at = 0
    while len(text) - at > MAX_CHARS:
        most = at + MAX_CHARS
        cut = most
        for end in (_SENTENCE_END, _SPACE):
            if ends := [found.end() for found in end.finditer(text, at + MAX_CHARS // 2, most)]:
                cut = ends[-1]
                break
        yield text[at:cut]
        at = cut
    if at < len(text):
        yield text[at:]
