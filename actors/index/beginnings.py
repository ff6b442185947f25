"""Where a text defines a name, as the rules for its language tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from actors.index.definition_rules import (
    MEMBER_WORDS,
    MODIFIERS,
    NAME,
    REST_OF_CALLABLE,
    RULES,
    STATEMENT_WORDS,
)
from actors.kinds import Kind

_ANY_NAME = r"[\w$]+"
_CACHED = 64
_LONGEST_PARAMETERS = 4000
_JAVASCRIPTS = frozenset({"javascript", "typescript", "tsx"})


class Beginning(NamedTuple):
    """Where a definition begins.

    Attributes:
        start: Offset of its line in the text.
        end: Offset behind its name and what shows that it is one.
        name: What it defines, as it is written there.
        kind: What kind of thing that is; a function may turn out to be a method.
    """

    start: int
    end: int
    name: str
    kind: Kind


def beginnings(language: str, text: str, name: str) -> list[Beginning]:
    """Return where a text defines a name, letters of either case, in order."""
    found = (
        _by_keyword(language, text, name, line) or _called(language, text, name, line)
        for line in _lines_with(text, name)
    )
    return [each for each in found if each]


def all_beginnings(language: str, text: str) -> list[Beginning]:
    """Return where a text defines anything that a keyword begins, in order."""
    if language not in RULES:
        return []
    return [_told(language, found) for found in _pattern(language, _ANY_NAME).finditer(text)]


def _lines_with(text: str, name: str) -> Iterator[int]:
    """Yield the offsets of the lines that hold a name, whatever it means there."""
    pattern = _anywhere(name)
    found = pattern.search(text)
    while found:
        yield text.rfind("\n", 0, found.start()) + 1
        end = text.find("\n", found.end())
        found = pattern.search(text, end) if end >= 0 else None


def _by_keyword(language: str, text: str, name: str, line: int) -> Beginning | None:
    if language not in RULES:
        return None
    found = _pattern(language, f"(?i:{re.escape(name)})").match(text, line)
    return _told(language, found) if found else None


def _told(language: str, found: re.Match[str]) -> Beginning:
    rule, own = "", ""
    for group, matched in found.groupdict().items():
        if matched is not None:
            rule, own = (group, own) if group.startswith("rule") else (rule, matched)
    kind, _ = RULES[language][int(rule.removeprefix("rule"))]
    return Beginning(found.start(), found.end(), own, kind)


@lru_cache(_CACHED)
def _anywhere(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name), re.IGNORECASE)


@lru_cache(_CACHED)
def _pattern(language: str, name: str) -> re.Pattern[str]:
    """Return the rules of a language as one pattern: groups "rule…", in each a group "name…"."""
    parts = []
    for number, (_, rule) in enumerate(RULES[language]):
        own = rule.split(NAME)
        for place in range(len(own) - 1):
            own[place] += f"(?P<name{number}_{place}>{name})"
        parts.append(f"(?P<rule{number}>{''.join(own)})")
    return re.compile(rf"^[ \t]*{MODIFIERS}(?:{'|'.join(parts)})", re.MULTILINE)


def _called(language: str, text: str, name: str, line: int) -> Beginning | None:
    """Return the function that a line defines without a keyword: `int parse(char *line) {`."""
    rest = REST_OF_CALLABLE.get(language)
    if rest is None or name in STATEMENT_WORDS:
        return None
    found = _callable(name).match(text, line)
    closed = _after_parameters(text, found.end()) if found else 0
    after = rest.match(text, closed) if closed else None
    if found and after and _may_lead(language, found["before"].split(), after[0]):
        return Beginning(found.start(), found.end(), found["name"], "function")
    return None


@lru_cache(_CACHED)
def _callable(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"^(?P<before>[\w:<>,*&\[\]?@.~# \t]*?)(?<![\w.>$])(?P<name>(?i:{re.escape(name)}))"
        r"[ \t]*(?:<[^<>()\n]*>[ \t]*)?\(",
        re.MULTILINE,
    )


def _may_lead(language: str, before: list[str], after: str) -> bool:
    """Tell whether words can stand before a function's name; with none, a body must follow."""
    if language in _JAVASCRIPTS:
        return MEMBER_WORDS.issuperset(word.rstrip("#") or "*" for word in before)
    if not before:
        return after.endswith("{")
    return before[0] not in STATEMENT_WORDS and "?" not in before


def _after_parameters(text: str, inside: int) -> int:
    """Return the offset behind the parenthesis that closes the one before `inside`; 0 for none."""
    depth = 1
    for at in range(inside, min(len(text), inside + _LONGEST_PARAMETERS)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at + 1
    return 0
