"""From a file to its text: bounded, never raising, line numbers as an editor shows them."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from charset_normalizer import from_bytes

from cluster.ingest.languages import language_of
from cluster.ingest.sources import read_bytes
from cluster.ingest.walk import MAX_FILE_BYTES, UNREADABLE, FoundFile

_SNIFF_BYTES = 8 * 1024
"""Where a NUL byte makes a file binary; git looks at as many."""

_SAMPLE_BYTES = 16 * 1024
"""How much the encoding detector sees: its time grows with the text, its certainty hardly."""

HASH_BYTES = 16
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
"""Byte order marks; UTF-32's first, for one of them begins with one of UTF-16's."""

_WIDE_MARKS = tuple(mark for mark, encoding in _MARKS if encoding != "utf-8-sig")
_DECLARED = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


@dataclass(frozen=True, slots=True)
class SourceFile:
    r"""The text of one file.

    Attributes:
        path: Path relative to the collection's root, with forward slashes.
        language: Lower-case language name.
        text: What the file says, each line break a `\n`.
        content_hash: blake2b of the bytes on disk, 32 hex digits.
        size: Bytes on disk.
    """

    path: str
    language: str
    text: str
    content_hash: str
    size: int


@dataclass(frozen=True, slots=True)
class Skip:
    """A file that is not indexed, and why."""

    path: str
    reason: str


def read_text(root: str, file: FoundFile, max_bytes: int = MAX_FILE_BYTES) -> SourceFile | Skip:
    """Read one file as text, whatever its encoding.

    Args:
        root: The folder or object-store URI that `file.path` is relative to.
        file: What the walk found.
        max_bytes: A larger file is skipped; no more than this and one byte is read.

    Returns:
        The text, or a `Skip` with reason "unreadable", "not a regular file", "too large",
        "binary" or "empty".

    Raises:
        StorageError: The object store does not answer.
    """
    data = read_whole(root, file, max_bytes)
    return data if isinstance(data, Skip) else as_text(file.path, data)


def read_whole(root: str, file: FoundFile, max_bytes: int) -> bytes | Skip:
    """Read one file's bytes; see `read_text`."""
    try:
        data = read_bytes(root, file.path, max_bytes + 1)
    except (OSError, ValueError):
        return Skip(file.path, UNREADABLE if file.size else "empty")  # as markers of folders
    if data is None:
        return Skip(file.path, "not a regular file")
    return data if len(data) <= max_bytes else Skip(file.path, "too large")


def as_text(path: str, data: bytes) -> SourceFile | Skip:
    """Read bytes as the text of a file; a `Skip` where they are "binary" or "empty"."""
    if is_binary(data):
        return Skip(path, "binary")
    language = language_of(path)
    text = decode(data, language)
    if not text or text.isspace():
        return Skip(path, "empty")
    digest = hashlib.blake2b(data, digest_size=HASH_BYTES).hexdigest()
    return SourceFile(path, language, text, digest, len(data))


def is_binary(data: bytes) -> bool:
    """Tell whether bytes are no text: a NUL near the start, unless UTF-16 or UTF-32 says so."""
    return b"\0" in data[:_SNIFF_BYTES] and not data.startswith(_WIDE_MARKS)


def decode(data: bytes, language: str) -> str:
    r"""Turn bytes into text, each line break (`\n`, `\r\n`, `\r`) into `\n`; never raises."""
    tried = (_try(data, encoding) for encoding in _encodings(data, language))
    text = next((text for text in tried if text is not None), None)
    if text is None:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encodings(data: bytes, language: str) -> Iterator[str]:
    """Yield what the text may be encoded in, the likeliest first; "" where nothing is known."""
    yield next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "")
    yield "utf-8"
    if language == "python":
        yield _declared(data)
    yield _guessed(data)


def _declared(data: bytes) -> str:
    """Return the encoding named in one of the first two lines (PEP 263), or ""."""
    for line in data[:_SNIFF_BYTES].split(b"\n", 2)[:2]:
        if found := _DECLARED.match(line):
            return found[1].decode("ascii", "ignore")
    return ""


def _guessed(data: bytes) -> str:
    """Return the encoding that charset-normalizer finds in the first whole lines, or ""."""
    sample = data[:_SAMPLE_BYTES]
    if len(data) > len(sample):
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    best = from_bytes(sample).best()
    return best.encoding if best else ""


def _try(data: bytes, encoding: str) -> str | None:
    """Return the text, or None where there is none, or one with lone surrogates (of escapes)."""
    if not encoding:
        return None
    try:
        text = data.decode(encoding)
        text.encode()
    except (LookupError, ValueError):
        return None
    return text
