"""Bearer tokens and how far each reaches."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import IntEnum

from starlette.types import Scope as AsgiScope

from actors.errors import Forbidden, InvalidRequest, Unauthorized

MIN_SECRET_CHARS = 16
"""Of a token that is to hold against whoever can reach the gateway."""
_GRANTED = "shoal.granted"
_BEARER = b"bearer "


class Scope(IntEnum):
    """What a token may do; each may do what those before it may."""

    SEARCH = 1
    """Search, embed and read, and look at the state of everything."""
    INDEX = 2
    """Change what collections hold, and run and cancel jobs."""
    ADMIN = 3
    """Delete collections, go back to old generations, scale and end the gateway."""


_READING = frozenset(
    f"/v1/{name}" for name in ("search", "embed", "embeddings", "read", "similar", "symbols")
)
_OF_TOOLS = ("/mcp", "/mcp/stateless")
"""What tools ask of the gateway comes through the door again, with their caller's token."""
_CHANGING = frozenset(
    f"/v1/{name}" for name in ("index", "reindex", "ingest", "files", "files/missing")
)
_OF_ONE = ("/v1/jobs/", "/v1/watches/")


def needed(method: str, path: str) -> Scope:
    """Return what a token must reach for a request; for what is not known here, all."""
    if method in {"GET", "HEAD", "OPTIONS"} or path in _READING or path in _OF_TOOLS:
        return Scope.SEARCH
    if path in _CHANGING or path.startswith(_OF_ONE):
        return Scope.INDEX
    return Scope.ADMIN


@dataclass(frozen=True, slots=True)
class Key:
    """A token that was given out: its digest, so that nothing shows it, and how far it reaches."""

    digest: bytes = field(repr=False)
    scope: Scope


class Keys:
    """The tokens of a gateway.

    Args:
        own: The one that may do everything.
        further: Others, as in `SHOAL_TOKENS`: "search:secret index:secret".

    Raises:
        InvalidRequest: One of the others has no scope, or is too short.
    """

    def __init__(self, own: str, further: str = "") -> None:
        others = (_parsed(entry) for entry in further.split())
        self._keys = (Key(_digest(own.encode()), Scope.ADMIN), *others)

    def __repr__(self) -> str:
        """Tell how many there are of each scope."""
        counts = {s.name.lower(): sum(k.scope == s for k in self._keys) for s in Scope}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)

    def find(self, authorization: bytes) -> Key | None:
        """Return the key that an Authorization header bears; all are compared, whichever fits."""
        if authorization[: len(_BEARER)].lower() != _BEARER:
            return None
        given = _digest(authorization[len(_BEARER) :].strip())
        fitting = [key for key in self._keys if hmac.compare_digest(given, key.digest)]
        return max(fitting, key=lambda key: key.scope, default=None)


def check(key: Key | None, scope: AsgiScope) -> None:
    """Let a request pass whose key reaches far enough, and note with it how far that is.

    Raises:
        Unauthorized: It has no key.
        Forbidden: It does not reach that far.
    """
    if key is None:
        message = "the bearer token is missing or wrong; set SHOAL_TOKEN to the gateway's"
        raise Unauthorized(message)
    wanted = needed(scope["method"], scope["path"])
    if key.scope < wanted:
        message = (
            f"this token reaches as far as {key.scope.name.lower()}, and {scope['method']} "
            f"{scope['path']} takes {wanted.name.lower()}; use one of that scope"
        )
        raise Forbidden(message)
    scope[_GRANTED] = key.scope


def granted(scope: AsgiScope) -> Scope:
    """Return how far the token of a request that passed the door reaches."""
    found: Scope = scope[_GRANTED]
    return found


def require(scope: AsgiScope, wanted: Scope, what: str) -> None:
    """Raise Forbidden where the token of a request that passed the door does not reach so far."""
    if granted(scope) < wanted:
        message = f"{what} takes a token of scope {wanted.name.lower()}"
        raise Forbidden(message)


def _parsed(entry: str) -> Key:
    name, _, secret = entry.partition(":")
    known = {scope.name.lower(): scope for scope in Scope}
    if name not in known or len(secret) < MIN_SECRET_CHARS:
        message = (
            f"an entry of SHOAL_TOKENS is not scope:secret, with a scope of {', '.join(known)} "
            f"and a secret of {MIN_SECRET_CHARS} characters or more"
        )
        raise InvalidRequest(message)
    return Key(_digest(secret.encode()), known[name])


def _digest(secret: bytes) -> bytes:
    """Return what is compared: of one length, so that the time tells nothing of the secret's."""
    return hashlib.sha256(secret).digest()
