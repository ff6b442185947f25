"""A folder of this machine on its way to a gateway elsewhere; only what that lacks is sent.

It is found and judged by the functions that a gateway uses for folders of its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from actors.choice import EVERYTHING, Choice
from actors.errors import InvalidRequest
from cluster.addresses import CLIENT, below, common_folder
from cluster.ingest.read import SourceFile, as_text, read_whole
from cluster.ingest.sources import find_files
from cluster.ingest.walk import FoundFile, WalkLimits
from cluster.operation import Call, T, first_problem
from cluster.protocol import ClientFile, ClientFolder, EndOfFiles, Job, Lacking, Message

_PIECE_BYTES = 1 << 16


def parted(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Part absolute paths into the folder that holds them all, and the way to each from there."""
    folder = common_folder([p if os.path.isdir(p) else os.path.dirname(p) for p in paths])
    return folder, [way for path in paths if (way := below(folder, path))]


class Sending:
    """Describes a folder's files, and then sends those that are asked for.

    Args:
        folder: The folder.
        scopes: Folders and files below it, relative; none means all.
        max_file_bytes: Larger files are skipped.
        collection: Where they go, or None for the one that holds the folder.
        model: Model of a new collection.
        choice: Which of them the gateway is to take; it knows where in its collection they lie.

    Raises:
        NotFound: The folder, or a scope, does not exist.
        InvalidRequest: The folder is none, a scope lies outside it, or a glob is none.
    """

    def __init__(
        self,
        folder: str | Path,
        scopes: Sequence[str],
        max_file_bytes: int,
        collection: str | None,
        model: str | None,
        choice: Choice = EVERYTHING,
    ) -> None:
        self._root = os.path.realpath(folder)
        self._max_file_bytes = max_file_bytes
        steps = [step for step in Path(self._root).as_posix().split("/") if step]
        try:
            self._folder = ClientFolder(
                folder="/".join((f"{CLIENT}://{socket.gethostname()}", *steps)),
                scopes=tuple(scopes),
                collection=collection,
                model=model,
                include=choice.include,
                exclude=choice.exclude,
            )
        except ValidationError as error:
            raise InvalidRequest(first_problem(error)) from error
        found = find_files(self._root, scopes or ("",), WalkLimits(max_file_bytes))
        self._found = found.files
        self._skipped = found.skipped
        self._files: list[ClientFile] = []

    def ask(self) -> Call[Lacking]:
        """Return the call that describes all files and tells which of them are to be sent."""
        return self._call("/v1/files/missing", TypeAdapter(Lacking), self._descriptions())

    def send(self, lacking: Lacking) -> Call[Job]:
        """Return the call that sends these, and names the others."""
        return self._call("/v1/files", TypeAdapter(Job), self._contents(frozenset(lacking.paths)))

    def _call(self, path: str, reply: TypeAdapter[T], parts: Iterator[bytes]) -> Call[T]:
        query = tuple(
            (name, value)
            for name, given in self._folder.model_dump(exclude_none=True).items()
            for value in ((given,) if isinstance(given, str) else given)
        )
        return Call("POST", path, reply, lines=_pieces(parts), query=query, reads_files=True)

    def _descriptions(self) -> Iterator[bytes]:
        for file in self._found:
            described, _ = self._read(file)
            if described:
                self._files.append(described)
                yield _line(described)

    def _contents(self, wanted: frozenset[str]) -> Iterator[bytes]:
        files = 0
        for known in self._files:
            described: ClientFile | None = known
            data = b""
            if known.path in wanted:  # it may have changed, or gone, since it was described
                described, data = self._read(FoundFile(known.path, known.size))
            if described:
                files += 1
                yield _line(described.model_copy(update={"sent": known.path in wanted}))
                yield data
        yield _line(EndOfFiles(files=files, skipped=dict(self._skipped)))

    def _read(self, file: FoundFile) -> tuple[ClientFile | None, bytes]:
        """Return a file's description and bytes; None for one that is not worth sending."""
        data = read_whole(self._root, file, self._max_file_bytes)
        if isinstance(data, bytes):
            text = as_text(file.path, data)
            if isinstance(text, SourceFile):
                described = ClientFile(path=file.path, hash=text.content_hash, size=text.size)
                return described, data
            data = text
        self._skipped[data.reason] += 1
        return None, b""


def _line(message: Message) -> bytes:
    return message.model_dump_json(exclude_defaults=True).encode() + b"\n"


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join small parts, so that each is worth its way."""
    waiting = bytearray()
    for part in parts:
        waiting += part
        if len(waiting) >= _PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
