"""What goes over HTTP where stored text is looked up: passages, likenesses, definitions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from actors.kinds import Kind
from cluster.protocol import (
    MAX_CHUNK_CHARS,
    MAX_CONTEXT,
    MAX_LIMIT,
    MAX_LINE,
    CollectionCoverage,
    CollectionName,
    FilePath,
    Filtered,
    Message,
    Paged,
)

MAX_NAME_CHARS = 1000
DEFAULT_SYMBOLS = 20

ChunkId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Line = Annotated[int, Field(ge=1, le=MAX_LINE)]


class ReadBody(Message):
    """Which stored lines to read: those of a chunk, or of a file."""

    chunk_id: ChunkId | None = Field(None, description="As in a hit's `id`")
    path: FilePath | None = Field(None, description="As in a hit's `path`")
    collection: CollectionName | None = None
    start_line: Line | None = Field(None, description="First line of the file if absent")
    end_line: Line | None = Field(None, description="Last line of the file if absent")
    context: int = Field(0, ge=0, le=MAX_CONTEXT, description="Lines around them")
    deadline_s: float | None = Field(None, gt=0, le=600)

    @model_validator(mode="after")
    def _names_one(self) -> ReadBody:
        if (self.chunk_id is None) == (self.path is None):
            message = "give either chunk_id or path"
            raise ValueError(message)
        if self.path is None and (self.start_line or self.end_line):
            message = "start_line and end_line go with path, not with chunk_id"
            raise ValueError(message)
        if self.start_line and self.end_line and self.end_line < self.start_line:
            message = "end_line is before start_line"
            raise ValueError(message)
        return self


class Passage(Message):
    """Stored lines; `symbol` and `id` are those of the chunk that holds them.

    Where several chunks do, `id` is the first one's, and `symbol` is empty unless they share it.
    """

    collection: str
    path: str
    start_line: int
    end_line: int
    language: str
    symbol: str
    text: str
    id: str
    generation: int


class SimilarBody(Filtered):
    """What to find the like of: a stored chunk, by its id or by a line that it holds, or a text."""

    chunk_id: ChunkId | None = Field(None, description="As in a hit's `id`")
    path: FilePath | None = Field(None, description="As in a hit's `path`")
    line: Line | None = Field(None, description="A line of the chunk, with path")
    collection: CollectionName | None = Field(None, description="That of the chunk")
    text: str | None = Field(None, min_length=1, max_length=MAX_CHUNK_CHARS)

    @model_validator(mode="after")
    def _names_one(self) -> SimilarBody:
        if sum(each is not None for each in (self.chunk_id, self.path, self.text)) != 1:
            message = "give one of chunk_id, path with line, and text"
            raise ValueError(message)
        if (self.path is None) != (self.line is None):
            message = "path and line go together"
            raise ValueError(message)
        if self.text is not None and (self.collection or not self.text.strip()):
            message = "collection goes with path or chunk_id" if self.collection else "it is empty"
            raise ValueError(message)
        return self


class SymbolsBody(Paged):
    """A name to find the definitions of."""

    name: str = Field(
        max_length=MAX_NAME_CHARS, description="As in `search`, `Router.search`, `Guide > Install`"
    )
    kind: Kind | None = None
    limit: int = Field(DEFAULT_SYMBOLS, ge=1, le=MAX_LIMIT)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not any(letter.isalnum() or letter == "_" for letter in name):
            message = "a name has letters or digits"
            raise ValueError(message)
        return name


class Symbol(Message):
    """Where something is defined.

    `signature` is how it begins, on one line; `end_line` is where it ends, as indentation tells,
    or the chunk does; `id` is the chunk's.
    """

    collection: str
    path: str
    start_line: int
    end_line: int
    language: str
    symbol: str
    kind: Kind
    signature: str
    id: str


class SymbolsReply(Message):
    """Definitions, those that fit best first; `more` says that there are or may be others."""

    symbols: tuple[Symbol, ...]
    more: bool = False
    coverage: float = 1.0
    collections: tuple[CollectionCoverage, ...] = ()
