"""Bodies of lines, as they come: UTF-8, each no longer than a chunk with its vector."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator

from actors.errors import InvalidRequest, LimitExceeded

_MAX_LINE_CHARS = 1 << 20
"""A chunk of the largest text with a vector of 16,384 dimensions takes about a quarter."""


async def lines(stream: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the lines of a stream, the rest behind the last one included.

    Raises:
        InvalidRequest: It is not UTF-8.
        LimitExceeded: A line is too long.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest = ""
    async for piece in stream:
        *whole, rest = (rest + _decoded(decoder, piece)).split("\n")
        for line in whole:
            yield line
        if len(rest) > _MAX_LINE_CHARS:
            message = f"a line is over {_MAX_LINE_CHARS} characters; cut the chunk"
            raise LimitExceeded(message)
    yield rest + _decoded(decoder, b"", final=True)


def _decoded(decoder: codecs.IncrementalDecoder, piece: bytes, final: bool = False) -> str:
    try:
        return decoder.decode(piece, final)
    except UnicodeDecodeError as error:
        message = f"the request is not UTF-8 ({error.reason})"
        raise InvalidRequest(message) from error
