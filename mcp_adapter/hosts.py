"""By what names a gateway on TCP may be addressed, and from pages of which origins.

A browser lends whoever wrote a page its place in the network. DNS rebinding gives the page's own
name our address, so that the page may read our answers: such a request names a host that is not
ours. An address in numbers cannot be rebound. Without rebinding a page can send, and the browser
says from which origin.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from actors.errors import Forbidden, InvalidRequest

ANY = "*"
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names and origins that are allowed.

    Attributes:
        names: Hosts without port, in lower case; "*" for any.
        origins: Origins of web pages, beside the gateway's own.
    """

    names: frozenset[str]
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, listening_at: str, names: str = "", origins: str = "") -> Hosts:
        """Take what is set: parted by blanks, beside the gateway's own names.

        Raises:
            InvalidRequest: An origin is none.
        """
        for origin in origins.split():
            parts = urlsplit(origin)
            if not parts.scheme or not parts.netloc or f"{parts.scheme}://{parts.netloc}" != origin:
                message = (
                    f"{origin!r} is no origin; write SHOAL_ALLOWED_ORIGINS=https://host[:port]"
                )
                raise InvalidRequest(message)
        own = (*_LOCAL, listening_at, socket.gethostname(), *names.split())
        return cls(
            frozenset(name.lower() for name in own),
            frozenset(origin.lower() for origin in origins.split()),
        )

    def __str__(self) -> str:
        """Return one line for the log."""
        names = "any" if ANY in self.names else f"{', '.join(sorted(self.names))}, any address"
        return f"allowed hosts: {names}; origins: {', '.join(('its own', *sorted(self.origins)))}"

    def check(self, host: str, origin: str) -> None:
        """Let a request pass by its Host and Origin headers, the latter "" where there is none.

        Raises:
            Forbidden: It names a host that is not ours, or comes from a page of another's.
        """
        host, origin = host.lower(), origin.lower()
        name = _without_port(host)
        if ANY not in self.names and name not in self.names and not _is_address(name):
            message = (
                f"this gateway is not {host[:200]!r}; add the name to SHOAL_ALLOWED_HOSTS if it is "
                "meant to be"
            )
            raise Forbidden(message)
        if origin and origin not in self.origins and origin.partition("://")[2] != host:
            message = (
                f"pages of {origin[:200]!r} may not call this gateway; add the origin to "
                "SHOAL_ALLOWED_ORIGINS if they should"
            )
            raise Forbidden(message)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
