"""From a file's text to chunks: by syntax where there is a grammar, by rows where there is none."""

from __future__ import annotations

from actors.messages import Chunk
from cluster.ingest import markdown, syntax
from cluster.ingest.grammars import GRAMMARS
from cluster.ingest.packing import Piece, Source, pack


def chunk(path: str, text: str, language: str) -> list[Chunk]:
    r"""Cut a file into chunks.

    Args:
        path: The file's path, for the chunks.
        text: The file's text; only `\n` ends a line.
        language: The language as `languages.language_of` names it.

    Returns:
        Chunks in file order, each at most `packing.MAX_CHARS` characters long. Each non-blank
        line lies in exactly one, and a chunk's text is its lines, unchanged; only a line longer
        than a chunk is spread over several, all with its number.
    """
    source = Source(text)
    return pack(_pieces(source, language), source, path, language)


def _pieces(source: Source, language: str) -> list[Piece]:
    if language == "markdown":
        return markdown.pieces(source)
    if language in GRAMMARS:
        return syntax.pieces(source, GRAMMARS[language])
    return [Piece(0, source.rows)]
