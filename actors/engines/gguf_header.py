"""What a GGUF file says about itself, read from its head; no weights are touched.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from actors.errors import ModelLoadError

Values = Mapping[str, int | float | bool | str]

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_UINT32, _UINT64, _STRING, _ARRAY = 4, 10, 8, 9
# The largest heads are those of vocabularies of 256,000 tokens, with merges: some 15 MB.
_MOST_BYTES = 64_000_000


def read_header(path: Path) -> Values:
    """Read the metadata; of an array, its length alone.

    Raises:
        ModelLoadError: The file is unreadable, no GGUF, damaged, or its head is larger than any
            model's.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file).metadata()
    except (OSError, ValueError, KeyError) as error:
        message = f"{path} is no GGUF file that can be read ({error}): copy the model's file again"
        raise ModelLoadError(message) from error


class _Reader:
    """Reads values one after the other and never more than `_MOST_BYTES` in all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST_BYTES

    def metadata(self) -> Values:
        if self._take(len(MAGIC)) != MAGIC:
            message = "it does not begin with GGUF"
            raise ValueError(message)
        if (version := self._scalar(_UINT32)) not in _VERSIONS:
            message = f"its version is {version}"
            raise ValueError(message)
        self._scalar(_UINT64)  # the number of tensors
        return {self._string(): self._value() for _ in range(int(self._scalar(_UINT64)))}

    def _value(self) -> int | float | bool | str:
        kind = int(self._scalar(_UINT32))
        if kind == _STRING:
            return self._string()
        return self._array() if kind == _ARRAY else self._scalar(kind)

    def _array(self) -> int:
        kind, length = int(self._scalar(_UINT32)), int(self._scalar(_UINT64))
        if kind == _STRING:
            for _ in range(length):
                self._take(int(self._scalar(_UINT64)))
        else:
            self._take(struct.calcsize(_SCALARS[kind]) * length)
        return length

    def _string(self) -> str:
        return self._take(int(self._scalar(_UINT64))).decode("utf-8", "replace")

    def _scalar(self, kind: int) -> int | float | bool:
        form = "<" + _SCALARS[kind]
        value: int | float | bool = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return value

    def _take(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            message = f"its head has more than {_MOST_BYTES:,} bytes"
            raise ValueError(message)
        taken = self._file.read(count)
        if len(taken) < count:
            message = "it ends within its head"
            raise ValueError(message)
        return taken
