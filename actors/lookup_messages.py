"""What crosses actors where stored text is looked up: passages, and definitions by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.kinds import Kind
from actors.message import Message
from actors.messages import Chunk, Coverage
from actors.origin import NOBODY, Origin


@dataclass(frozen=True, slots=True)
class PassageQuery(Message):
    """Which stored lines are wanted: those of a chunk, of a file's range, or at one line.

    Attributes:
        chunk_id: The chunk, or None where `path` names a file.
        path: The file, relative to its collection's root, or "".
        start_line: First line; None for the first that is stored.
        end_line: Last line; None for the last.
        context: Lines around them that come along.
        around: Of a file: not the range, but the one chunk that holds `start_line`, or the next.
        origin: Whose query it is.
    """

    chunk_id: int | None = None
    path: str = ""
    start_line: int | None = None
    end_line: int | None = None
    context: int = 0
    around: bool = False
    origin: Origin = NOBODY


@dataclass(frozen=True, slots=True)
class Passage(Message):
    """Stored lines.

    Attributes:
        chunk: The lines as one chunk; its symbol is that of all chunks that they come from.
        chunk_id: The first of those.
        overlapping: All chunks, that one too, with lines of those that were asked for.
        vector: float32 [d] of the first, unit length.
    """

    chunk: Chunk
    chunk_id: int
    overlapping: tuple[int, ...]
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SymbolQuery(Message):
    """Which definitions are wanted.

    Attributes:
        name: What is defined, as in "search" or "Router.search"; `::` is the same as a dot.
        kind: What kind of thing, or None for any.
        languages: Lower-case language names; empty for all.
        limit: How many.
        origin: Whose query it is.
        offset: How many of the best are passed over.
    """

    name: str
    kind: Kind | None
    languages: tuple[str, ...]
    limit: int
    origin: Origin = NOBODY
    offset: int = 0

    @property
    def wanted(self) -> int:
        """How many of the best are looked at."""
        return self.offset + self.limit


@dataclass(frozen=True, slots=True)
class Definition(Message):
    """Where something is defined.

    Attributes:
        path: The file.
        start_line: The line that names it.
        end_line: Its last line, as indentation tells, within the chunk.
        language: The file's language.
        symbol: Its qualified name, or the trail of headings.
        kind: What kind of thing it is.
        signature: How it begins, on one line.
        chunk_id: The chunk that holds it.
    """

    path: str
    start_line: int
    end_line: int
    language: str
    symbol: str
    kind: Kind
    signature: str
    chunk_id: int = 0


@dataclass(frozen=True, slots=True)
class Definitions(Message):
    """Definitions that were found, best first, and whether there are or may be more."""

    found: tuple[Definition, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Lookup(Message):
    """What is asked of a router, of which collections, by whom, and how long it may take.

    Attributes:
        collections: Names; empty for all.
        deadline_s: Seconds until the answer is what came.
        caller: Who asks, as far as is known.
        origin: Names the request in logs and traces.
    """

    collections: tuple[str, ...]
    deadline_s: float
    caller: str = ""
    origin: Origin = NOBODY


@dataclass(frozen=True, slots=True)
class PassageAnswer(Message):
    """A passage, the collection and generation that hold it, and its collection's vector space."""

    collection: str
    generation: int
    space: str
    passage: Passage


@dataclass(frozen=True, slots=True)
class SymbolAnswer(Message):
    """Definitions, each with its collection, and how much was searched for them.

    Attributes:
        found: Best first.
        more: Whether there are or may be more.
        collections: Coverage of each collection.
    """

    found: tuple[tuple[str, Definition], ...]
    more: bool
    collections: tuple[Coverage, ...]
