"""What callers may have a gateway index: the places below the roots that it was given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from actors.errors import Forbidden
from cluster.addresses import GIT, is_git, is_uri, store_prefix
from cluster.repository import masked, repository

_GIT_FILE = f"{GIT}file://"


@dataclass(frozen=True, slots=True)
class Roots:
    """Places whose content may be indexed, each in the one form that names it.

    Attributes:
        places: Folders by their real paths, and URIs; None for all that the gateway can read.
    """

    places: tuple[str, ...] | None = None

    @classmethod
    def of(cls, setting: str, is_private: bool) -> Self:
        """Read `SHOAL_INDEX_ROOTS`: places parted by ",".

        Args:
            setting: Its value.
            is_private: Whether callers of this machine alone come: where nothing is set, they may
                have anything indexed, and others nothing.

        Raises:
            InvalidRequest: One is no place that could be indexed.
        """
        given = [place.strip() for place in setting.split(",") if place.strip()]
        return cls(None if is_private and not given else tuple(map(_settled, given)))

    def __str__(self) -> str:
        """Return what may be indexed in words."""
        if self.places is None:
            return "whatever this gateway can read"
        return ", ".join(map(masked, self.places)) or "no folder of this machine"

    def check(self, *paths: str) -> None:
        """Refuse what lies outside, wherever symbolic links lead, and before it is looked for.

        Raises:
            Forbidden: A path lies outside.
            InvalidRequest: It is no place that could be indexed.
        """
        for path in paths if self.places is not None else ():
            if not self._holds(_settled(path)):
                message = (
                    f"{masked(path)} is not below what may be indexed here ({self}); "
                    "SHOAL_INDEX_ROOTS of the gateway says what may"
                )
                raise Forbidden(message)

    def _holds(self, place: str) -> bool:
        return any(_is_below(root, place) for root in self.places or ())


def _settled(path: str) -> str:
    """Return the one form of a place: real paths of folders, also of a repository in one."""
    if is_git(path):
        address = str(repository(path))
        local = address.startswith(_GIT_FILE)
        return os.path.realpath(address.removeprefix(_GIT_FILE)) if local else address
    return store_prefix(path) if is_uri(path) else os.path.realpath(path)


def _is_below(root: str, place: str) -> bool:
    separator = "/" if is_uri(root) else os.sep
    return place == root or place.startswith(root.rstrip(separator) + separator)
