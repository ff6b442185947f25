"""Cursors: where the next page of a search begins, and what it has to be the next page of.

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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from actors.errors import InvalidRequest
from cluster.protocol import MAX_LIMIT, CollectionCoverage

CURSOR_CHARS = 24
_OFFSET, _DIGEST = 2, 8
_AGAIN = "call search again without cursor"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins.

    Attributes:
        offset: How many hits come before it.
        searched: Digest of the generations that the page before it was taken from; b"" for the
            first page.
    """

    offset: int = 0
    searched: bytes = b""

    def check(self, collections: Iterable[CollectionCoverage]) -> None:
        """Raise where the index changed since the page before.

        Raises:
            InvalidRequest: The cursor is stale.
        """
        if self.searched and self.searched != _generations(collections):
            message = f"the index changed since the page that gave this cursor; {_AGAIN}"
            raise InvalidRequest(message)


def cursor_to(
    offset: int, collections: Iterable[CollectionCoverage], asked: Mapping[str, Any]
) -> str:
    """Return the cursor of the page that begins at `offset`, of a search for `asked`."""
    place = offset.to_bytes(_OFFSET) + _generations(collections)
    return urlsafe_b64encode(place + _seal(place, asked)).decode()


def place_of(cursor: str, asked: Mapping[str, Any]) -> Place:
    """Return where a page begins.

    Args:
        cursor: As `cursor_to` returned it; "" for the first page.
        asked: What is searched for, and where.

    Raises:
        InvalidRequest: No search gave this cursor, or one for something else.
    """
    if not cursor:
        return Place()
    raw = _decoded(cursor)
    place, seal = raw[:-_DIGEST], raw[-_DIGEST:]
    as_given = urlsafe_b64encode(raw).decode() == cursor  # decoding ignores foreign characters
    if not as_given or len(raw) != _OFFSET + 2 * _DIGEST or seal != _seal(place, asked):
        message = (
            "this cursor belongs to no search with these arguments; give next_cursor exactly as "
            f"it came, beside the same query, mode and filters, or {_AGAIN}"
        )
        raise InvalidRequest(message)
    return Place(min(int.from_bytes(place[:_OFFSET]), MAX_LIMIT), place[_OFFSET:])


def _decoded(cursor: str) -> bytes:
    try:
        return urlsafe_b64decode(cursor)
    except (ValueError, binascii.Error):
        return b""


def _generations(collections: Iterable[CollectionCoverage]) -> bytes:
    known = sorted((searched.name, searched.generation) for searched in collections)
    return _digest(json.dumps(known).encode())


def _seal(place: bytes, asked: Mapping[str, Any]) -> bytes:
    return _digest(place + json.dumps(asked, sort_keys=True).encode())


def _digest(of: bytes) -> bytes:
    return hashlib.blake2b(of, digest_size=_DIGEST, person=b"shoal cursor").digest()
