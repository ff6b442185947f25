"""Edits of TOML that leave everything else in the text as it is: whole lines come and go.

Only tables with a header of their own are edited. What is written in another way is left alone, and
whoever reads the text again sees that the edit did not do what it should.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_HEADER = re.compile(r"\s*\[")


def read(text: str) -> dict[str, Any]:
    """Return what a text holds.

    Raises:
        ValueError: It is no TOML.
    """
    return tomllib.loads(text)


def written(keys: Sequence[str], table: Mapping[str, object]) -> str:
    """Return a table as it stands in a file."""
    header = f"[{'.'.join(map(_key, keys))}]"
    return "\n".join([header, *_lines(table)]) + "\n"


def with_table(text: str, keys: Sequence[str], table: Mapping[str, object]) -> str:
    """Return the text with values of a table set; where there is none, it comes last.

    Raises:
        ValueError: There are comments beside the values that it has.
    """
    lines = text.split("\n")
    for start, end in _blocks(lines, keys):
        if _path(lines[start]) == tuple(keys):
            old = [line for line in lines[start + 1 : end] if _name(line) in table]
            if any("#" in line for line in old):
                message = "there are comments beside values that would be replaced"
                raise ValueError(message)
            rest = [line for line in lines[start + 1 : end] if line not in old]
            lines[start + 1 : end] = [*_lines(table), *rest]
            return "\n".join(lines)
    end_of_line = "" if text.endswith("\n") or not text else "\n"
    return text + end_of_line + ("\n" if text.strip() else "") + written(keys, table)


def without_table(text: str, keys: Sequence[str]) -> str:
    """Return the text without a table, the tables inside it, and an empty line before each."""
    lines = text.split("\n")
    for start, end in reversed(tuple(_blocks(lines, keys))):
        blank = start > 0 and not lines[start - 1].strip()
        del lines[start - blank : end]
    return "\n".join(lines)


def _blocks(lines: Sequence[str], keys: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Find the lines of a table and of those inside it: from each header to its last value."""
    headers = [(at, path) for at, line in enumerate(lines) if (path := _path(line))]
    ends = (*(at for at, _ in headers[1:]), len(lines))
    for (start, path), following in zip(headers, ends, strict=False):
        if path[: len(keys)] != tuple(keys):
            continue
        end = following
        while end > start + 1 and lines[end - 1].strip()[:1] in ("", "#"):
            end -= 1  # what stands between two tables is said of the second
        yield start, end


def _path(line: str) -> tuple[str, ...]:
    """Return the name of the table whose header a line is, in its parts; () for any other line."""
    if not _HEADER.match(line):
        return ()
    try:
        found: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    path = []
    while isinstance(found, dict) and found:
        key, found = next(iter(found.items()))
        path.append(key)
    return tuple(path)


def _name(line: str) -> str:
    """Return which value a line sets; "" where it sets none, or not all of one."""
    try:
        return next(iter(tomllib.loads(line)), "")
    except tomllib.TOMLDecodeError:
        return ""


def _lines(table: Mapping[str, object]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items()]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _value(value: object) -> str:
    """Return a string, a list or a table as one line; strings are as in JSON."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
