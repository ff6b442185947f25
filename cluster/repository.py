"""What names a revision of a git repository: `git+https://host/path@revision`.

Whoever may index names it, so it is checked before git sees it: its protocol, and that nothing in
it can be taken for an option. Credentials are in no message and in nothing that is stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from actors.errors import InvalidRequest
from cluster.addresses import GIT

PROTOCOLS = ("https", "http", "ssh", "file", "git")
_REVISION = re.compile(r"\w[\w./+-]*")
"""No option, no refspec, no expression; git itself refuses the rest."""
_COMMIT = re.compile(r"(?:[0-9a-f]{40,64})?")
_HOST = re.compile(r"(?:\w[\w.-]*|\[[0-9a-fA-F:.]+\])(?::\d+)?|")
_USER = re.compile(r"://\S*@(?=[^@\s]*/)")


@dataclass(frozen=True, slots=True)
class Repository:
    """A revision of a repository.

    Attributes:
        url: Where it is, without credentials.
        revision: A branch, a tag, a full commit id, or HEAD.
        secret_url: The same with the credentials that were given, or "".
    """

    url: str
    revision: str
    secret_url: str = field(repr=False, default="")

    def __str__(self) -> str:
        """Return the address of the repository, whatever its revision."""
        return GIT + self.url


def repository(address: str) -> Repository:
    """Read `git+https://host/path@revision`; a commit behind `#`, as we write it, says nothing.

    Raises:
        InvalidRequest: It is no address that git may be given.
    """
    url, _, commit = address.removeprefix(GIT).partition("#")
    protocol, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    path, _, revision = path.rpartition("@") if "@" in path else (path, "", "HEAD")
    user, _, host = host.rpartition("@")
    reason = _why_not(protocol, user, host, path)
    if not _REVISION.fullmatch(revision) or ".." in revision or not _COMMIT.fullmatch(commit):
        reason = reason or "behind the @ stands a branch, a tag or a full commit id"
    if reason:
        message = (
            f"{masked(address)!r} cannot be fetched: {reason}; write it as "
            "git+https://host/repository.git@revision"
        )
        raise InvalidRequest(message)
    name = user.partition(":")[0]
    shown = f"{name}@{host}" if name and protocol == "ssh" else host
    secret = f"{protocol}://{user}@{host}/{path}" if user and protocol != "ssh" else ""
    return Repository(f"{protocol}://{shown}/{path}", revision, secret)


def masked(text: str) -> str:
    """Return a text in which the users and passwords of addresses cannot be read."""
    return _USER.sub("://***@", text)


def _why_not(protocol: str, user: str, host: str, path: str) -> str:
    if protocol not in PROTOCOLS:
        return f"its protocol is none of {', '.join(PROTOCOLS)}"
    if any(c.isspace() or not c.isprintable() for c in user + path):
        return "it has characters that no address has"
    if user.startswith("-") or not _HOST.fullmatch(host) or (protocol == "file") == bool(host):
        return "it names no host, or one for a file"
    if not path or path.startswith("-"):
        return "it names no repository there"
    return ""
