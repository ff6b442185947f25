"""Cursors: where the next page of an answer begins, and what it has to be the next page of.

A cursor says nothing to a model and is bound to the arguments that it came with and to the
generations that were searched, so that pages neither overlap nor leave a gap. It holds no secret:
any process of a service reads what another one gave, and whoever takes the trouble to make one gets
no more than another page of what they may search.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from actors.errors import InvalidRequest
from cluster.protocol import MAX_LIMIT, CollectionCoverage

CURSOR_CHARS = 24
_OFFSET, _DIGEST = 2, 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins.

    Attributes:
        tool: Which tool is called for it.
        asked: What it is asked for, and where; the same on all pages.
        offset: How many hits come before it.
        searched: Digest of the generations that the page before it was taken from; b"" for the
            first page.
    """

    tool: str
    asked: Mapping[str, Any]
    offset: int = 0
    searched: bytes = b""

    def most(self, limit: int) -> int:
        """Return how many hits can be asked for from here on, where `limit` are wanted."""
        return min(limit, MAX_LIMIT - self.offset)

    def following(self, collections: Iterable[CollectionCoverage]) -> Callable[[int], str]:
        """Return what gives the cursor of a later page by its offset.

        Args:
            collections: What this page was taken from.

        Raises:
            InvalidRequest: The index changed since the page before, so the cursor is stale.
        """
        searched = _generations(collections)
        if self.searched and self.searched != searched:
            message = f"the index changed since the page that gave this cursor; {_again(self.tool)}"
            raise InvalidRequest(message)

        def cursor_to(offset: int) -> str:
            place = offset.to_bytes(_OFFSET) + searched
            return urlsafe_b64encode(place + _seal(place, self.tool, self.asked)).decode()

        return cursor_to


def place_of(cursor: str, tool: str, **asked: Any) -> Place:  # noqa: ANN401 - arguments of a tool
    """Return where a page begins.

    Args:
        cursor: As the page before gave it; "" for the first page.
        tool: Which tool is called with it.
        asked: What it is asked for, and where.

    Raises:
        InvalidRequest: No call of that tool gave this cursor, or one for something else.
    """
    if not cursor:
        return Place(tool, asked)
    raw = _decoded(cursor)
    place, seal = raw[:-_DIGEST], raw[-_DIGEST:]
    as_given = urlsafe_b64encode(raw).decode() == cursor  # decoding ignores foreign characters
    if not as_given or len(raw) != _OFFSET + 2 * _DIGEST or seal != _seal(place, tool, asked):
        message = (
            f"this cursor belongs to no {tool} with these arguments; give next_cursor exactly as "
            f"it came, beside the same question and filters, or {_again(tool)}"
        )
        raise InvalidRequest(message)
    return Place(tool, asked, min(int.from_bytes(place[:_OFFSET]), MAX_LIMIT - 1), place[_OFFSET:])


def _again(tool: str) -> str:
    return f"call {tool} again without cursor"


def _decoded(cursor: str) -> bytes:
    try:
        return urlsafe_b64decode(cursor)
    except (ValueError, binascii.Error):
        return b""


def _generations(collections: Iterable[CollectionCoverage]) -> bytes:
    known = sorted((searched.name, searched.generation) for searched in collections)
    return _digest(json.dumps(known).encode())


def _seal(place: bytes, tool: str, asked: Mapping[str, Any]) -> bytes:
    return _digest(place + json.dumps([tool, asked], sort_keys=True).encode())


def _digest(of: bytes) -> bytes:
    return hashlib.blake2b(of, digest_size=_DIGEST, person=b"shoal cursor").digest()
