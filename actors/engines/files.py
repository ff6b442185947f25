"""A model's files on disk: their configuration and their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from actors.engines.base import OnProgress
from actors.errors import ModelLoadError

_BLOCK = 4 << 20  # bytes


def read_json(path: Path) -> Any:  # noqa: ANN401 - what JSON can hold
    """Return what a JSON file holds, or None where there is no such file.

    Raises:
        ModelLoadError: It cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds, or {} where there is no such file.

    Raises:
        ModelLoadError: It cannot be read, or holds something else.
    """
    content = read_json(path)
    if content is not None and not isinstance(content, dict):
        raise unreadable(path, "it holds no object")
    return content or {}


def digest(paths: Iterable[Path]) -> str:
    """Return 16 hex digits that stand for the content of files, in this order.

    A file is read again only where its size or its time of change is another.

    Raises:
        ModelLoadError: One cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        try:
            stat = path.stat()
            whole.update(_file_digest(path, stat.st_size, stat.st_mtime_ns))
        except OSError as error:
            raise unreadable(path, error) from error
    return whole.hexdigest()[:16]


def read_through(paths: Sequence[Path], on_progress: OnProgress) -> None:
    """Read files once, so that they lie in the system's cache when they are mapped or loaded.

    Raises:
        ModelLoadError: One cannot be read.
    """
    done, block = 0, bytearray(_BLOCK)
    for path in paths:
        try:
            total = sum(p.stat().st_size for p in paths)
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(block):
                    done += count
                    on_progress("reading", done, total)
        except OSError as error:
            raise unreadable(path, error) from error


@lru_cache(maxsize=256)
def _file_digest(path: Path, _size: int, _mtime_ns: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def unreadable(path: Path, reason: object) -> ModelLoadError:
    """Return the error for a file that cannot be used."""
    message = f"{path} is unreadable ({reason}): copy the model's files again"
    return ModelLoadError(message)
