"""Folders of clients as they arrive: what is lacking, and a job's files from what was sent.

What comes is a line of JSON for each file, its bytes behind it where it is sent, and a last line
that says how many there were. Nothing of it is trusted: paths stay below the folder that it is
spooled to, sizes below the limit, and each content is what its hash says.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from actors.catalog import Catalog
from actors.choice import EVERYTHING, Choice
from actors.engines.base import OnProgress
from actors.errors import InvalidRequest, LimitExceeded
from actors.storage import Storage, storage_error
from cluster.addresses import below
from cluster.ingest.choosing import Chooser
from cluster.ingest.held import StoredFile, in_scope, stored_files
from cluster.ingest.reach import VERSION_CONTROL
from cluster.ingest.read import HASH_BYTES
from cluster.ingest.sources import Found
from cluster.ingest.walk import FoundFile
from cluster.naming import Target, Wanted, target_of
from cluster.operation import first_problem
from cluster.protocol import ClientFile, ClientFolder, EndOfFiles, Lacking
from cluster.reaching import Reached

_MAX_LINE = 1 << 16
_LINE: TypeAdapter[ClientFile | EndOfFiles] = TypeAdapter(ClientFile | EndOfFiles)


def target_and_prefix(catalog: Catalog, folder: ClientFolder) -> tuple[Target, str]:
    """Find or name the collection of a client's folder, and where in it the folder's files lie.

    Raises:
        InvalidRequest: The named collection is of another source, or makes another choice.
    """
    scopes = folder.scopes or ("",)
    for scope in filter(None, (*folder.folder.split("/")[3:], *scopes)):
        check_path(scope)
    places = tuple(f"{folder.folder}/{scope}".rstrip("/") for scope in scopes)
    wanted = Wanted(places, folder.folder)
    target = target_of(catalog, wanted, folder.collection, folder.choice)
    return target, below(target.root, folder.folder)


async def lacking(
    catalog: Catalog, storage: Storage, folder: ClientFolder, lines: AsyncIterator[str]
) -> Lacking:
    """Return which of the files that lines describe a collection takes, and does not hold.

    Raises:
        InvalidRequest: A line describes no file, or the collection is of another source.
    """
    target, prefix = await asyncio.to_thread(target_and_prefix, catalog, folder)
    found = await asyncio.to_thread(catalog.find, target.collection)
    stored = await asyncio.to_thread(stored_files, storage, found) if found else {}
    chooser = Chooser(target.choice or (found.choice if found else EVERYTHING))
    paths = []
    async for line in lines:
        file = _parsed(line.encode()) if line else None
        if isinstance(file, ClientFile):
            path = _joined(prefix, file.path)
            if not (_is_held(stored, path, file) or chooser.why_not(path)):
                paths.append(file.path)
    return Lacking(paths=tuple(paths))


class Received:
    """Takes a client's folder, and is then what a job finds.

    Args:
        spool: An empty folder for what is sent.
        target: What it is to become.
        prefix: Where the folder lies below the target's root.
        max_file_bytes: A larger file is refused.
    """

    def __init__(self, spool: Path, target: Target, prefix: str, max_file_bytes: int) -> None:
        self._spool = spool
        self._target = target
        self._prefix = prefix
        self._max_file_bytes = max_file_bytes
        self._files: dict[str, ClientFile] = {}
        self._end: EndOfFiles | None = None
        self._writing: _Writing | None = None
        self._rest = b""

    async def take(self, pieces: AsyncIterator[bytes]) -> None:
        """Take all that comes; the next piece is asked for once the last one is on disk.

        Raises:
            InvalidRequest: It is no folder as a client sends it, or does not end as one.
            LimitExceeded: A file is over the limit.
            StorageError: There is no space for it.
        """
        try:
            async for piece in pieces:
                await asyncio.to_thread(self._feed, piece)
        finally:
            if self._writing:
                self._writing.close()
        if self._end is None or self._end.files != len(self._files):
            message = "the folder did not come whole; send it again"
            raise InvalidRequest(message)

    @asynccontextmanager
    async def reached(
        self, holding: AsyncExitStack, _on_progress: OnProgress
    ) -> AsyncIterator[Reached]:
        """Have what came as long as the context lasts; `holding` is closed at its end."""
        async with holding:
            yield Reached(str(self._spool), self._target.root, self.find)

    def find(self, choice: Choice = EVERYTHING) -> Found:
        """Return what was sent, and what was not because the collection holds it."""
        chooser = Chooser(choice)
        skipped = Counter(self._end.skipped if self._end else {})
        sent, kept = [], {}
        for path, file in self._files.items():
            if reason := chooser.why_not(path):
                skipped[reason] += 1
            elif file.sent:
                sent.append(FoundFile(path, file.size))
            else:
                kept[path] = file.hash
        return Found(sent, skipped, unchanged=kept)

    def _feed(self, piece: bytes) -> None:
        data, at = self._rest + piece, 0
        self._rest = b""
        while at < len(data):
            if self._writing:
                at += self._writing.take(memoryview(data)[at:])
                self._writing = None if self._writing.is_whole else self._writing
                continue
            end = data.find(b"\n", at, at + _MAX_LINE)
            if end < 0:
                self._rest = _rest_of_a_line(data[at:])
                return
            self._begin(_parsed(data[at:end]))
            at = end + 1

    def _begin(self, message: ClientFile | EndOfFiles) -> None:
        if self._end is not None:
            text = "something follows the last line; send files as `shoal index` does"
            raise InvalidRequest(text)
        if isinstance(message, EndOfFiles):
            self._end = message
            return
        path = _joined(self._prefix, message.path)
        if path in self._files or not in_scope(path, self._target.scopes):
            text = f"{message.path!r} comes twice, or is none of the files to be indexed"
            raise InvalidRequest(text)
        self._files[path] = message
        if message.sent:
            self._writing = _Writing(self._spool / path, message, self._max_file_bytes)


class _Writing:
    """A file on its way to the disk."""

    def __init__(self, place: Path, file: ClientFile, limit: int) -> None:
        if file.size > limit:
            message = (
                f"{file.path!r} has {file.size} bytes, and this gateway takes {limit}; set "
                f"SHOAL_MAX_FILE_BYTES={limit}, which skips it"
            )
            raise LimitExceeded(message)
        self._file = file
        self._left = file.size
        self._hash = hashlib.blake2b(digest_size=HASH_BYTES)
        with self._on_disk():
            place.parent.mkdir(parents=True, exist_ok=True)
            self._stream = place.open("xb")

    @property
    def is_whole(self) -> bool:
        return not self._left

    def take(self, data: memoryview) -> int:
        """Write what is this file's, and return how many bytes that are."""
        part = data[: self._left]
        with self._on_disk():
            self._stream.write(part)
        self._hash.update(part)
        self._left -= len(part)
        if self.is_whole:
            self.close()
            if self._hash.hexdigest() != self._file.hash:
                message = f"{self._file.path!r} came damaged; send it again"
                raise InvalidRequest(message)
        return len(part)

    def close(self) -> None:
        with self._on_disk():
            self._stream.close()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise storage_error("the gateway's temporary folder", "write", error) from error
            message = f"{self._file.path!r} cannot be a file here ({error.strerror})"
            raise InvalidRequest(message) from error


def _parsed(line: bytes) -> ClientFile | EndOfFiles:
    try:
        message = _LINE.validate_json(line)
    except ValidationError as error:
        text = f"a line describes no file: {first_problem(error)}"
        raise InvalidRequest(text) from error
    if isinstance(message, ClientFile):
        check_path(message.path)
    return message


def check_path(path: str) -> None:
    """Raise InvalidRequest for a path that does not lead down from wherever it begins."""
    steps = path.split("/")
    foreign = os.path.splitdrive(path)[0] or (os.sep != "/" and os.sep in path) or "\0" in path
    if foreign or not {"", ".", "..", *VERSION_CONTROL}.isdisjoint(steps):
        message = f"{path[:200]!r} is no path below the folder that is sent"
        raise InvalidRequest(message)


def _rest_of_a_line(rest: bytes) -> bytes:
    if len(rest) >= _MAX_LINE:
        message = f"a line is over {_MAX_LINE} bytes; send files as `shoal index` does"
        raise LimitExceeded(message)
    return rest


def _joined(prefix: str, path: str) -> str:
    return f"{prefix}/{path}" if prefix else path


def _is_held(stored: Mapping[str, StoredFile], path: str, file: ClientFile) -> bool:
    return path in stored and stored[path].content_hash == file.hash
