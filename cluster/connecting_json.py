"""Edits of JSON with comments that leave everything else in the text as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_STRING = r'"(?:\\.|[^"\\])*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_LAST_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])")
_INDENT = re.compile(r'^([ \t]+)"', re.MULTILINE)
_WHITE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Member:
    """Where a member of an object lies: its key begins at `start`, its value from `value` on."""

    key: str
    start: int
    value: int
    end: int


def read(text: str) -> dict[str, Any]:
    """Return the object that a text with comments and trailing commas holds; {} for no text.

    Raises:
        ValueError: It is none.
    """
    plain = _plain(text)
    document = json.loads(plain) if plain.strip() else {}
    if not isinstance(document, dict):
        message = "it holds no object"
        raise ValueError(message)  # noqa: TRY004 - of what a file holds, not of how it is called
    return document


def written(document: dict[str, Any]) -> str:
    """Return a document as the text of a new file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def with_member(text: str, keys: Sequence[str], value: object) -> str:
    """Return the text with a member set, in the innermost of nested objects that `keys` name.

    Raises:
        ValueError: There are comments in the value that it has.
    """
    if not _plain(text).strip():
        text += "{}\n"
    start = _start(text)
    for depth, key in enumerate(keys):
        found = next((m for m in _members(_plain(text), start) if m.key == key), None)
        if found is None:
            for outer in reversed(keys[depth + 1 :]):
                value = {outer: value}
            return _inserted(text, start, key, value, depth + 1)
        if depth + 1 == len(keys):
            _check_bare(text, found.value)
            new = _dumped(value, text, depth + 1)
            return text[: found.value] + new + text[found.end :]
        start = found.value
    return text


def without_member(text: str, keys: Sequence[str]) -> str:
    """Return the text without a member that is there, nor the objects that held it alone."""
    plain = _plain(text)
    start, path = _start(text), []
    for key in keys:
        members = tuple(_members(plain, start))
        index = next(i for i, member in enumerate(members) if member.key == key)
        path.append((start, members, index))
        start = members[index].value
    while len(path) > 1 and len(path[-1][1]) == 1 and _bare(text, path[-1][0]):
        path.pop()
    return _removed(text, *path[-1])


def _plain(text: str) -> str:
    """Return strict JSON of the same length: spaces stand for comments and trailing commas."""
    return _blanked(_LAST_COMMA, _blanked(_COMMENT, text))


def _blanked(what: re.Pattern[str], text: str) -> str:
    def blank(found: re.Match[str]) -> str:
        return found[0] if found[1] else re.sub(r"[^\n]", " ", found[0])

    return what.sub(blank, text)


def _start(text: str) -> int:
    return _after_white(_plain(text), 0)


def _after_white(plain: str, at: int) -> int:
    found = _WHITE.match(plain, at)
    return found.end() if found else at


def _end(plain: str, start: int) -> int:
    """Return where the value ends that begins at `start`."""
    return int(_DECODER.raw_decode(plain, start)[1])


def _members(plain: str, start: int) -> Iterator[_Member]:
    """Find the members of the object that begins at `start`; of no object there are none."""
    at = _after_white(plain, start + 1)
    while plain[start] == "{" and plain[at] != "}":
        key, after = _DECODER.raw_decode(plain, at)
        value = _after_white(plain, _after_white(plain, after) + 1)
        end = _end(plain, value)
        yield _Member(key, at, value, end)
        at = _after_white(plain, end)
        at = _after_white(plain, at + 1) if plain[at] == "," else at


def _inserted(text: str, start: int, key: str, value: object, depth: int) -> str:
    """Put a member at the end of the object that begins at `start`."""
    plain = _plain(text)
    close = _end(plain, start) - 1
    members = tuple(_members(plain, start))
    if members and "\n" not in text[start:close]:  # all on one line
        end = members[-1].end
        new = f", {_key(key)}{json.dumps(value, ensure_ascii=False)}"
        return text[:end] + new + text[end:]
    indent = _indent(text)
    tail = start + len(text[start:close].rstrip())
    before, new = text[:tail], f"\n{indent * depth}{_key(key)}{_dumped(value, text, depth)}"
    if members and _comma(text, members[-1].end, close) is None:
        end = members[-1].end
        before = text[:end] + "," + text[end:tail]
    elif members:  # whoever ends with a comma wants to go on so
        new += ","
    if "\n" in text[tail:close]:
        return before + new + text[tail:]
    return before + new + f"\n{indent * (depth - 1)}" + text[close:]


def _removed(text: str, start: int, members: Sequence[_Member], index: int) -> str:
    """Take a member out of the object that begins at `start`, with the comma that it needs."""
    member = members[index]
    close = _end(_plain(text), start) - 1
    begin = len(text[: member.start].rstrip())
    following = members[index + 1].start if index + 1 < len(members) else close
    comma = _comma(text, member.end, following)
    end = member.end if comma is None else comma + 1
    if comma is not None or index == 0:
        return text[:begin] + text[end:]
    before = _comma(text, members[index - 1].end, member.start)
    if before is None:
        return text[:begin] + text[end:]
    return text[:before] + text[before + 1 : begin] + text[end:]


def _comma(text: str, start: int, end: int) -> int | None:
    """Return where the comma is that is no part of a comment, if there is one."""
    found = _blanked(_COMMENT, text).find(",", start, end)
    return None if found < 0 else found


def _check_bare(text: str, start: int) -> None:
    if not _bare(text, start):
        message = "there are comments in a value that would be replaced"
        raise ValueError(message)


def _bare(text: str, start: int) -> bool:
    """Tell whether there are no comments in the value that begins at `start`."""
    end = _end(_plain(text), start)
    return _blanked(_COMMENT, text)[start:end] == text[start:end]


def _key(key: str) -> str:
    return f"{json.dumps(key, ensure_ascii=False)}: "


def _indent(text: str) -> str:
    found = _INDENT.search(text)
    return found[1] if found else "  "


def _dumped(value: object, text: str, depth: int) -> str:
    """Return a value as it stands in a text, `depth` levels deep."""
    indent = _indent(text)
    lines = json.dumps(value, indent=indent, ensure_ascii=False).split("\n")
    return f"\n{indent * depth}".join(lines)
