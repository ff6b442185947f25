"""Where a path that a model gives is: on this machine, or on the gateway's."""

from __future__ import annotations

import os
from collections.abc import Callable

from actors.errors import InvalidRequest, NotFound
from cluster.addresses import is_uri

Locate = Callable[[str], str]
"""Turns a path that a model gave into the path to send to the gateway, or raises a ShoalError."""


def on_this_machine(path: str) -> str:
    """Return the absolute form of a path for a gateway that reads the same files.

    Raises:
        InvalidRequest: It is relative to a working folder that means nothing.
        NotFound: It does not exist.
    """
    if is_uri(path):
        return path
    wanted = os.path.expanduser(path)
    here = os.getcwd()
    if not os.path.isabs(wanted) and here == os.path.dirname(here):
        message = f"{path!r} is relative, and this server runs in {here}; give an absolute path"
        raise InvalidRequest(message)
    found = os.path.abspath(wanted)
    if not os.path.exists(found):
        message = f"{found} does not exist on this machine"
        raise NotFound(message)
    return found


def on_the_gateway(path: str) -> str:
    """Return a path of another machine as it is.

    Raises:
        InvalidRequest: It is relative; the gateway's working folder means nothing to the caller.
    """
    if not path.startswith("/") and path[1:3] not in (":\\", ":/") and not is_uri(path):
        message = f"{path!r} is relative; give an absolute path on the gateway's machine"
        raise InvalidRequest(message)
    return path
