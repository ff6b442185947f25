"""Every error that Shoal raises on purpose, and the HTTP status each one travels under.

ShoalError
├── InvalidRequest            400  the caller asked for something that cannot be
│   ├── InvalidField          422  one field of the request has a value that cannot be
│   ├── LimitExceeded         413  larger than Shoal takes
│   └── NothingToIndex        400  a folder that holds nothing, or nothing any more
├── Unauthorized              401  a token is missing or wrong
├── Forbidden                 403  the token's scope, or the gateway's settings, do not allow it
├── NotFound                  404  a collection, job or path that does not exist
├── Conflict                  409  another writer was first
│   └── ModelMismatch         409  query and vectors would come from different models
├── StorageError              507  the root cannot be read or written
│   └── CorruptData           500  what was read is not what was written
├── ModelLoadError            503  a model cannot be loaded
│   └── UnusableModel         422  it is not here yet, and the caller named it
├── MemoryLimitExceeded       503  a load or a batch would not fit, or did not fit, into memory
├── ReplicaLost               503  the actors that could answer died over this request
├── Overloaded                429  too much is waiting already
├── DeadlineExceeded          504  time ran out
├── IncompleteCoverage        503  a shard did not answer, and the caller wants all or nothing
└── GatewayUnavailable        503  no gateway could be reached or started
"""

from __future__ import annotations

from typing import ClassVar


class ShoalError(Exception):
    """Base of all errors; the message names the cause and the way out, in one or two lines.

    Attributes:
        status: The HTTP status under which the error travels.
        retry_after_s: Seconds after which a retry is worth it, or None where it is not.
    """

    status: ClassVar[int] = 500

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Keep both parts in `args`, so that the error survives pickling between actors."""
        super().__init__(message, retry_after_s)
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """Return the message alone."""
        return self.message


class InvalidRequest(ShoalError):
    """The caller asked for something that cannot be."""

    status = 400


class InvalidField(InvalidRequest):
    """One field of the request, which the message begins with, has a value that cannot be."""

    status = 422


class LimitExceeded(InvalidRequest):
    """A request, file or batch is larger than Shoal takes."""

    status = 413


class NothingToIndex(InvalidRequest):
    """Nothing, or nothing any more, can be indexed in a folder; its collection is as it was."""


class Unauthorized(ShoalError):
    """The token is missing or wrong."""

    status = 401


class Forbidden(ShoalError):
    """The token's scope, or what the gateway is set to allow, does not reach so far."""

    status = 403


class NotFound(ShoalError):
    """A collection, job or path does not exist."""

    status = 404


class Conflict(ShoalError):
    """Another writer published first."""

    status = 409


class ModelMismatch(Conflict):
    """Query and stored vectors would come from different models."""


class StorageError(ShoalError):
    """The root cannot be read or written."""

    status = 507


class CorruptData(StorageError):
    """What was read is not what was written."""

    status = 500


class ModelLoadError(ShoalError):
    """A model cannot be loaded."""

    status = 503


class UnusableModel(ModelLoadError):
    """A model that the caller named, and that is not here yet, cannot be had or loaded."""

    status = 422


class MemoryLimitExceeded(ShoalError):
    """A load or a batch would not fit, or did not fit, into the memory that an actor may use."""

    status = 503


class ReplicaLost(ShoalError):
    """The actors that could answer died over this request, one after the other."""

    status = 503


class Overloaded(ShoalError):
    """Too much is waiting already; `retry_after_s` says when to come back."""

    status = 429


class DeadlineExceeded(ShoalError):
    """Time ran out before there was anything to answer."""

    status = 504


class IncompleteCoverage(ShoalError):
    """A shard did not answer, and the caller takes an answer of all shards alone."""

    status = 503


class GatewayUnavailable(ShoalError):
    """No gateway could be reached or started."""

    status = 503


def _tree(kind: type[ShoalError]) -> dict[str, type[ShoalError]]:
    found = {kind.__name__: kind}
    for child in kind.__subclasses__():
        found.update(_tree(child))
    return found


BY_NAME: dict[str, type[ShoalError]] = _tree(ShoalError)
"""Class name → class, to raise on the client's side what was raised on the gateway's."""
