"""What the files of a folder were when they were written: their sizes and hashes, beside them.

segments/<id>/checksums.json     {"files.arrow": [size, hash], "lexical/rows.npy": …}
tombstones/<id>/checksums.json   likewise

The manifest holds the hash of that file, and with it pins every byte below. What hosts keep beside
a segment later, as its codes, is not in it and does not matter to it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from actors.errors import CorruptData
from actors.storage import Storage, new_hash

CHECKSUMS = "checksums.json"
Sums = dict[str, tuple[int, str]]
"""Name of a file below its folder → its size in bytes, its hash."""
_SUMS = TypeAdapter(Sums)


class FolderWriter:
    """Writes the files of a new folder, and remembers what they are.

    Args:
        storage: The root.
        folder: A name that nobody else uses.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self.storage = storage
        self.folder = folder
        self._sums: Sums = {}

    def put(self, name: str, data: bytes) -> None:
        """Write a file."""
        self.storage.put(f"{self.folder}/{name}", data)
        self.note(name, len(data), new_hash(data).hexdigest())

    def put_arrays(self, arrays: Mapping[str, NDArray[Any]], below: str = "") -> None:
        """Write each array as a `.npy` file."""
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
            self.put(f"{below}{name}", buffer.getvalue())

    def note(self, name: str, size: int, digest: str) -> None:
        """Remember a file that was written otherwise."""
        self._sums[name] = (size, digest)

    def seal(self) -> str:
        """Write down what all files are, those of others read back, and return the hash of that."""
        for name, file in self.storage.files(self.folder).items():
            if name not in self._sums:
                self.note(name, file.size, self.storage.hash_of_file(f"{self.folder}/{name}"))
        content = _SUMS.dump_json(dict(sorted(self._sums.items())))
        self.storage.put(f"{self.folder}/{CHECKSUMS}", content)
        return new_hash(content).hexdigest()


def damage(storage: Storage, folder: str, digest: str) -> Iterator[tuple[str, str]]:
    """Yield each file of a folder that is not what was written, and what is wrong with it.

    Args:
        storage: The root.
        folder: A folder that was sealed.
        digest: What that returned.
    """
    try:
        content = storage.read(f"{folder}/{CHECKSUMS}")
    except FileNotFoundError:
        yield CHECKSUMS, "is missing"
        return
    if new_hash(content).hexdigest() != digest:
        yield CHECKSUMS, "is not what was written"
        return
    there = storage.files(folder)
    for name, (size, wanted) in _SUMS.validate_json(content).items():
        if name not in there:
            yield name, "is missing"
        elif there[name].size != size:
            yield name, f"has {there[name].size} bytes, and {size} were written"
        elif storage.hash_of_file(f"{folder}/{name}") != wanted:
            yield name, "is not what was written"


def read_sums(storage: Storage, folder: str, digest: str = "") -> tuple[Sums, bytes]:
    """Return what the files of a folder are to be, and the bytes that say so.

    Args:
        storage: The root.
        folder: A folder that was sealed.
        digest: What that returned; "" takes what is there.

    Raises:
        CorruptData: It is missing, or not what was written.
    """
    name = f"{folder}/{CHECKSUMS}"
    try:
        content = storage.read(name)
    except FileNotFoundError:
        content = b""
    if not content or (digest and new_hash(content).hexdigest() != digest):
        message = f"{name} in {storage.root} is missing or is not what was written"
        raise CorruptData(message)
    return _SUMS.validate_json(content), content
