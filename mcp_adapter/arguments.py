"""The arguments of the tools, each described once for a model that has to fill it in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from actors.kinds import Kind
from cluster.lookup_protocol import MAX_NAME_CHARS
from cluster.lookup_protocol import ChunkId as WholeId
from cluster.protocol import (
    MAX_CHUNK_CHARS,
    MAX_CONTEXT,
    MAX_GLOBS,
    MAX_LINE,
    MAX_QUERY_CHARS,
    Glob,
    Mode,
)
from mcp_adapter.budget import LEAST_TOKENS, MOST_TOKENS
from mcp_adapter.found import Detail as HowMuch

MAX_LIMIT = 50
DEFAULT_LIMIT = 8
MAX_WAIT_S = 30
_JOB_ID = r"^[\w.-]{1,64}$"
PATH = r"^[^\x00]+$"

Query = Annotated[
    str,
    Field(
        description="A question, a description, an identifier or a piece of code",
        min_length=1,
        max_length=MAX_QUERY_CHARS,
    ),
]
Collections = Annotated[
    tuple[str, ...], Field(description="Search these collections only; empty for all")
]
SearchMode = Annotated[
    Mode,
    Field(
        description="hybrid fits nearly always; lexical for exact words and identifiers, "
        "semantic for questions that share no word with their answer"
    ),
]
Languages = Annotated[
    tuple[str, ...],
    Field(description="Only these languages, in lower case, as in ['python', 'markdown']"),
]
Paths = Annotated[
    tuple[str, ...],
    Field(
        description="Only paths that match one of these globs, with the rules of .gitignore: "
        "'*.py' matches at any depth, 'src/' all below a folder"
    ),
]
ExcludePaths = Annotated[
    tuple[str, ...],
    Field(description="No paths that match one of these globs, as in ['tests/', '*.md']"),
]
Limit = Annotated[int, Field(description="How many hits", ge=1, le=MAX_LIMIT)]
Detail = Annotated[
    HowMuch,
    Field(
        description="locations: paths and lines alone, the cheapest; concise: the beginning of "
        "each hit too, which is all of most; full: all of each"
    ),
]
MaxTokens = Annotated[
    int,
    Field(
        description="How large the answer may be, roughly; what does not fit is told",
        ge=LEAST_TOKENS,
        le=MOST_TOKENS,
    ),
]
Cursor = Annotated[
    str,
    Field(
        description="next_cursor of the page before, beside the same question and filters",
        max_length=200,
    ),
]

OneCollection = Annotated[
    str | None,
    Field(description="The collection that holds the path, where several do", min_length=1),
]
StoredPath = Annotated[
    str | None,
    Field(description="A path as search gives it, relative to its source", pattern=PATH),
]
Line = Annotated[int | None, Field(description="A line in path", ge=1, le=MAX_LINE)]
Text = Annotated[
    str | None,
    Field(description="A piece of code or text of your own", max_length=MAX_CHUNK_CHARS),
]
ChunkId = Annotated[
    WholeId | None, Field(description="The id of a hit, as search gives it in brackets")
]
StartLine = Annotated[int | None, Field(description="First line of path", ge=1, le=MAX_LINE)]
EndLine = Annotated[int | None, Field(description="Last line of path", ge=1, le=MAX_LINE)]
ContextLines = Annotated[
    int, Field(description="So many lines more on either side", ge=0, le=MAX_CONTEXT)
]
SymbolName = Annotated[
    str,
    Field(
        description="Name of a function, class, method or heading: parse, or Parser.parse",
        min_length=1,
        max_length=MAX_NAME_CHARS,
    ),
]
SymbolKind = Annotated[Kind | None, Field(description="Only definitions of this kind")]
SymbolLimit = Annotated[int, Field(description="How many definitions", ge=1, le=MAX_LIMIT)]

IndexPath = Annotated[
    str,
    Field(
        description="Folder or file, best as an absolute path; or s3://bucket/prefix, or "
        "git+https://host/repository.git@revision",
        pattern=PATH,
    ),
]
IndexCollection = Annotated[
    str | None,
    Field(description="Collection to put it in; by default the one that holds it, or a new one"),
]
Include = Annotated[
    tuple[Glob, ...],
    Field(
        description="Take only files that match one of these globs, as lines of .gitignore: '*.py' "
        "at any depth, 'docs/' all below. The collection remembers it, ['*'] takes all again",
        max_length=MAX_GLOBS,
    ),
]
Exclude = Annotated[
    tuple[Glob, ...],
    Field(
        description="Leave out files that match one of these; remembered with include",
        max_length=MAX_GLOBS,
    ),
]
WaitS = Annotated[
    int,
    Field(
        description="Wait so many seconds for the job's end, with progress; 0 returns at once",
        ge=0,
        le=MAX_WAIT_S,
    ),
]
JobId = Annotated[str, Field(description="As returned by index_path", pattern=_JOB_ID)]
OneJobId = Annotated[
    Annotated[str, Field(pattern=_JOB_ID)] | None,
    Field(description="As returned by index_path; none for the latest jobs"),
]
CollectionToDelete = Annotated[
    str, Field(description="Its name, as list_collections gives it", min_length=1, max_length=63)
]
Confirm = Annotated[
    bool, Field(description="true once the user has agreed; else you are told what would go")
]
