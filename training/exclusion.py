"""What the model is never trained on: the texts of retrieval sets, and whose questions they ask.

    python training/exclusion.py FOLDER_OF_EVAL_SETS     writes training/excluded.bin

The file holds hashes alone, so that the model can be made again without the sets. A pair is left
out where either half, as a whole, is a text or a line of a set, where its query is part of a line,
or where a line that is long enough to be nobody else's stands in a set too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

FILE = Path(__file__).resolve().parent / "excluded.bin"
PACKAGES = frozenset(
    {
        "fastapi", "model2vec", "gin", "golang-github-gin-gonic-gin-dev",
        "libafl", "ciphey", "clickhouse-cpp", "libclickhouse-cpp-dev", "jib", "password4j",
        "wasmedge", "libwasmedge-dev", "alacritty", "flink-ml", "apache-flink-ml", "log4cxx",
        "liblog4cxx-dev", "anthropic",
    }
)  # fmt: skip
"""Packages whose source or documentation the sets ask about."""

_HASH_BYTES = 6
_FEWEST_WHOLE = 12  # letters and digits of a text that can be told from others
_FEWEST_LINE = 40  # letters and digits of a line that two texts have from each other
_OTHER = re.compile(r"[^a-z0-9]+")
_MARKED_BREAK = re.compile(r"\s*\n\s*(?:[/*#]+(?:\s|$))?")  # a comment's next line
_SENTENCE = re.compile(r"(?<=[.!?])\s+")

Hashes = frozenset[bytes]


def is_excluded_package(name: str) -> bool:
    """Tell whether a package, or the one that it is a part or a binding of, is asked about."""
    bare = name.lower().replace("_", "-")
    return bare in PACKAGES or any(part in PACKAGES for part in re.split(r"[-/.]", bare))


def fingerprint(text: str) -> bytes | None:
    """Hash the letters and digits of a text; None where there are too few of them."""
    bare = _OTHER.sub("", text.lower())
    if len(bare) < _FEWEST_WHOLE:
        return None
    return hashlib.blake2b(bare.encode(), digest_size=_HASH_BYTES).digest()


def occurs(texts: Iterable[str], excluded: Hashes) -> bool:
    """Tell whether one of the texts, or a long line or sentence of it, stands in a set."""
    return any(
        fingerprint(part) in excluded for text in texts for part in (text, *_telling_parts(text))
    )


def read(file: Path = FILE) -> Hashes:
    """Read the hashes.

    Raises:
        FileNotFoundError: There are none: nothing may be trained without.
    """
    data = file.read_bytes()
    return frozenset(data[i : i + _HASH_BYTES] for i in range(0, len(data), _HASH_BYTES))


def hashes_of_sets(root: Path) -> Hashes:
    """Hash all documents and questions below a folder of sets: whole, by line, by sentence."""
    found = (fingerprint(part) for text in _texts(root) for part in _parts(text))
    return frozenset(value for value in found if value is not None)


def _texts(root: Path) -> Iterator[str]:
    for file in sorted([*root.glob("*/corpus.jsonl"), *root.glob("*/queries*.jsonl")]):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                yield from filter(None, (record.get("title"), record["text"]))


def _parts(text: str) -> Iterator[str]:
    yield text
    yield from _docstrings(text)
    yield from _SENTENCE.split(_MARKED_BREAK.sub(" ", text))
    for line in text.splitlines():
        yield line
        yield from _SENTENCE.split(line)


def _docstrings(text: str) -> Iterator[str]:
    """Yield what stands between triple quotes, whole and by paragraph, and the rest as one."""
    pieces = re.split(r'"""|\'\'\'', text)
    for docstring in pieces[1::2]:
        yield docstring
        yield from docstring.split("\n\n")
    if len(pieces) > 1:
        yield "".join(pieces[0::2])


def _telling_parts(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for part in (line, *_SENTENCE.split(line)):
            if len(_OTHER.sub("", part.lower())) >= _FEWEST_LINE:
                yield part


def main() -> None:
    """Write the hashes of a folder of sets."""
    parser = argparse.ArgumentParser(description="Write the hashes of texts never trained on.")
    parser.add_argument("sets", type=Path, help="folder of retrieval sets")
    FILE.write_bytes(b"".join(sorted(hashes_of_sets(parser.parse_args().sets))))


if __name__ == "__main__":
    main()
