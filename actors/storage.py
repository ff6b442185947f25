"""Where collections lie: a local folder or an object store, behind one small class."""

from __future__ import annotations

import errno
import hashlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import obstore
import platformdirs
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, from_url

from actors.errors import ShoalError, StorageError

if TYPE_CHECKING:
    from obstore.store import RetryConfig


PARTIAL = ".partial"
"""Ends the names of files in folders that are being written, or whose writer was killed."""
_PIECE_BYTES = 4 << 20
_WHOLE_BYTES = 16 << 20
"""Up to so many, an object is written at once and not in parts."""


class AlreadyThere(ShoalError):
    """`put_new` found the name taken."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file's size in bytes, and when it was written by the clock of where it lies."""

    size: int
    changed: datetime


class Storage:
    """Files under one root; all names are relative to it, with forward slashes.

    Args:
        root: A folder or an object-store URI (`s3://…`, `gs://…`, `az://…`); credentials come
            from the environment, as each provider's own tools take them.
        patience: How long requests to an object store are made again; None for minutes.

    Raises:
        StorageError: The root cannot be reached or created.
    """

    def __init__(self, root: str, patience: RetryConfig | None = None) -> None:
        self.root = root.rstrip("/")
        self.is_local = "://" not in root
        self._patience = patience
        with self._named("open"):
            self._store: ObjectStore = self._open()

    def read(self, name: str) -> bytes:
        """Return a file's bytes; FileNotFoundError where there is none."""
        with self._named(f"read {name}"):
            return bytes(obstore.get(self._store, name).bytes())

    def put(self, name: str, data: bytes) -> None:
        """Write a file under a name that nobody else uses."""
        with self._named(f"write {name}"):
            obstore.put(self._store, name, data)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes, some megabytes at a time; FileNotFoundError where there is none."""
        with self._named(f"read {name}"):
            if self.is_local:
                with self.cache(name).open("rb") as file:
                    while piece := file.read(_PIECE_BYTES):
                        yield piece
                return
            found = obstore.get(self._store, name)
            for piece in found.stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    def put_pieces(self, name: str, pieces: Iterable[bytes], size: int) -> None:
        """Write a file of about `size` bytes that need not fit into memory; it appears whole."""
        with self._named(f"write {name}"):
            if self.is_local:
                _write_whole(self.cache(name), pieces)
            elif size <= _WHOLE_BYTES:
                obstore.put(self._store, name, b"".join(pieces))
            else:
                obstore.put(self._store, name, iter(pieces), max_concurrency=2)

    def put_new(self, name: str, data: bytes) -> None:
        """Write a file unless the name is taken, atomically; else raise AlreadyThere.

        An object store may do what it answers with an error. The next try then finds the name taken
        by the one before, so `data` has to differ from whatever others write under that name.
        """
        with self._named(f"write {name}"):
            try:
                obstore.put(self._store, name, data, mode="create")
            except AlreadyExistsError as error:
                if not self._holds(name, data):
                    message = f"{name} is already there"
                    raise AlreadyThere(message) from error

    def names(self, folder: str) -> list[str]:
        """Return the names directly below `folder`, files and folders alike, sorted."""
        with self._named(f"list {folder}"):
            found = obstore.list_with_delimiter(self._store, folder)
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in paths)

    def files(self, folder: str) -> dict[str, FileInfo]:
        """Return every file below `folder`, at any depth, by its name relative to it."""
        with self._named(f"list {folder}"):
            found = [entry for page in obstore.list(self._store, folder) for entry in page]
        return {
            e["path"].removeprefix(f"{folder}/"): FileInfo(e["size"], e["last_modified"])
            for e in found
        }

    def last_change(self, folder: str) -> datetime | None:
        """Return when the youngest file below `folder` was written, or None for none."""
        return max((file.changed for file in self.files(folder).values()), default=None)

    def hash_of_file(self, name: str) -> str:
        """Return the `new_hash` of a file in hex, without holding all of it.

        Raises:
            FileNotFoundError: There is none.
        """
        digest = new_hash()
        with self._named(f"read {name}"):
            if self.is_local:
                with self.cache(name).open("rb") as file:
                    hashlib.file_digest(file, lambda: digest)
                return digest.hexdigest()
            for piece in obstore.get(self._store, name).stream():
                digest.update(piece)
        return digest.hexdigest()

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with self._named(f"delete {name}"), suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def delete(self, folder: str) -> None:
        """Delete a folder and every file below it, and what this machine's cache has of it."""
        with self._named(f"delete {folder}"):
            if not self.is_local:
                paths = [f"{folder}/{name}" for name in self.files(folder)]
                if paths:
                    obstore.delete(self._store, paths)
            shutil.rmtree(self.cache(folder), ignore_errors=True)

    @contextmanager
    def whole(self, folder: str) -> Iterator[None]:
        """Delete a new folder where writing it fails, so that a full disk does not stay full."""
        try:
            yield
        except BaseException:
            with suppress(StorageError):
                self.delete(folder)
            raise

    def uri(self, name: str) -> str:
        """Return the full address of `name`, as Lance takes it."""
        return f"{self.root}/{name}"

    def folder(self, name: str) -> Path:
        """Return `name` as a local folder of plain files, fetching it once from a remote root."""
        target = self.cache(name)
        for file in () if self.is_local else self.names(name):
            if not (target / file).exists():
                _write_whole(target / file, (self.read(f"{name}/{file}"),))
        return target

    def cache(self, name: str) -> Path:
        """Return where this machine keeps what belongs to `name`: there, or in its own cache."""
        if self.is_local:
            return Path(self.root) / name
        digest = hashlib.blake2b(self.root.encode(), digest_size=6).hexdigest()
        return Path(platformdirs.user_cache_dir("shoal")) / digest / name

    def _holds(self, name: str, data: bytes) -> bool:
        with suppress(FileNotFoundError):
            return self.read(name) == data
        return False

    def _open(self) -> ObjectStore:
        if not self.is_local:
            return open_store(self.root, self._patience)
        Path(self.root).mkdir(parents=True, exist_ok=True)
        return from_url(Path(self.root).resolve().as_uri())

    @contextmanager
    def _named(self, action: str) -> Iterator[None]:
        """Turn what the storage libraries raise into errors that name the root and a way out."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, BaseError) as error:
            raise storage_error(self.root, action, error) from error


def new_hash(data: bytes = b"") -> hashlib.blake2b:
    """Return the hash that files are told apart by, BLAKE2b of 16 bytes, over `data` so far."""
    return hashlib.blake2b(data, digest_size=16)


def open_store(uri: str, patience: RetryConfig | None = None) -> ObjectStore:
    """Open what an object-store URI names, which asks nobody yet; a prefix may hold any character.

    Raises:
        BaseError: It is no such URI.
    """
    return from_url(quote(uri, safe=":/@"), retry_config=patience)


def cause_of(error: Exception) -> str:
    """Return what a storage library says was wrong, on one line."""
    text = str(error)
    return text.splitlines()[0] if text else type(error).__name__


def storage_error(root: str, action: str, error: Exception) -> StorageError:
    """Describe a failed storage operation by its cause and the way out."""
    text = str(error)
    number = getattr(error, "errno", None)
    if number == errno.ENOSPC or "No space left" in text:
        cause = "no space is left there: free some, or take another root with --root"
    elif number in (errno.EACCES, errno.EROFS, errno.EPERM) or _is_refusal(text):
        cause = "it is not writable for this user: take another root with --root"
    else:
        cause = cause_of(error)
    return StorageError(f"cannot {action} in {root}: {cause}")


def _is_refusal(text: str) -> bool:
    return any(
        sign in text for sign in ("Permission denied", "Read-only file system", "os error 1)")
    )


def _write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write via a neighbour, so that no reader ever maps half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
