"""Where a node's actors leave what others on it must find: death notes, labels, the gate's lock."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from actors.errors import StorageError


def private_folder() -> Path:
    """Return a folder that only this user can enter.

    Raises:
        StorageError: Somebody else owns it, or others can enter it.
    """
    own = f"shoal-{os.getuid()}" if hasattr(os, "getuid") else "shoal"
    folder = Path(tempfile.gettempdir()) / own
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    is_ours = not hasattr(os, "getuid") or (
        found.st_uid == os.getuid() and not found.st_mode & 0o077
    )
    if not stat.S_ISDIR(found.st_mode) or not is_ours:
        message = f"{folder} must be a folder that only you can enter; remove it"
        raise StorageError(message)
    inner = folder / "memory"
    inner.mkdir(mode=0o700, exist_ok=True)
    return inner
