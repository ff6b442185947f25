"""From documents to the chunks that are handed in, and from hits back to documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cluster.evaluation.labelled import Document
from cluster.ingest.chunk import chunk
from cluster.ingest.languages import PLAIN_TEXT, language_of, tells_language
from cluster.ingest.packing import MAX_CHARS
from cluster.protocol import IngestChunk

MOST_PASSAGE_CHARS = 2 * MAX_CHARS
"""A longer one is cut between its lines. Whole, pages of documentation are found worse (hybrid
nDCG@10 of cookbook-docs .744, not .779); cut at half of it, abstracts are (scifact .644, .649)."""

Place = tuple[str, int]
"""A path and a line: where a chunk begins."""


@dataclass(frozen=True, slots=True)
class CutDocuments:
    """Documents as they are handed in.

    Attributes:
        chunks: All of them, those of a document together.
        owners: Where a chunk begins → its document's id.
    """

    chunks: Sequence[IngestChunk]
    owners: Mapping[Place, str]

    def ranked(self, hits: Iterable[tuple[Place, float]]) -> dict[str, float]:
        """Return the documents of hits, best first, each where its best chunk is.

        Args:
            hits: Where they begin, and their scores; best first.

        Returns:
            Document's id → its best chunk's score.
        """
        found: dict[str, float] = {}
        for place, score in hits:
            found.setdefault(self.owners[place], score)
        return found


def cut(documents: Sequence[Document]) -> CutDocuments:
    """Cut whole files as `shoal index` does, and make each short passage one chunk.

    A document is a whole file if its path tells a language and no other has that path. Passages of
    one path stand there one below the other. What holds no text becomes no chunk.
    """
    at_path = Counter(document.place for document in documents)
    last_line = Counter[str]()
    chunks: list[IngestChunk] = []
    owners: dict[Place, str] = {}
    for document in documents:
        path = document.place
        is_file = at_path[path] == 1 and tells_language(path)
        for one in _file(document) if is_file else _passage(document, last_line[path]):
            chunks.append(one)
            owners[path, one.start_line] = document.id
            last_line[path] = one.end_line
    return CutDocuments(chunks, owners)


def _file(document: Document) -> Iterator[IngestChunk]:
    text = document.text.replace("\r\n", "\n").replace("\r", "\n")
    return _cut(document.place, text, language_of(document.place))


def _passage(document: Document, above: int) -> Iterator[IngestChunk]:
    """Yield what a passage becomes, below so many lines that its path has already."""
    path, text = document.place, "\n".join(filter(None, (document.title, document.text)))
    if len(text) > MOST_PASSAGE_CHARS:
        yield from _cut(path, text, PLAIN_TEXT, above)
    elif text.strip():
        first, last = above + 1, above + 1 + text.count("\n")
        language = language_of(path)
        yield IngestChunk(path=path, text=text, start_line=first, end_line=last, language=language)


def _cut(path: str, text: str, language: str, above: int = 0) -> Iterator[IngestChunk]:
    for one in chunk(path, text, language):
        yield IngestChunk(
            path=path,
            text=one.text,
            start_line=above + one.start_line,
            end_line=above + one.end_line,
            language=language,
            symbol=one.symbol,
            signature=one.signature,
        )
