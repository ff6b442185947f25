"""How a definition begins, by language, and what kind of thing it defines.

Segments keep the text of chunks and the names of what they are the whole or a part of, but not what
the syntax trees said. So these rules read the text: a line that begins as a definition does is one,
also where it stands in a string. Where the rules find nothing in what a chunk is named after, the
kind is just "definition".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from actors.kinds import Kind

TYPES: frozenset[Kind] = frozenset({"class", "struct", "interface", "trait", "enum", "extension"})
"""A function in one of these is a method."""

_Rule = tuple[Kind, str]
"""A kind, and what the line looks like that begins one, behind its modifiers."""
_NAME = "NAME"
_ANY_NAME = r"[\w$]+"
_CACHED = 64


def _words(text: str) -> list[str]:
    return text.split()


_MODIFIER_WORDS = _words(
    """export default declare async abstract final static public private protected
    internal open sealed data inline value inner companion annotation override partial readonly
    virtual unsafe const suspend tailrec operator infix expect actual external indirect mutating
    nonmutating fileprivate convenience required local extern constexpr"""
)
_MODIFIERS = (
    r"(?:(?:@[\w.]+(?:\([^()\n]*\))?|#\[[^\]\n]*\]|pub(?:\([^)\n]*\))?|extern \"\w+\"|"
    rf"template[ \t]*<[^\n]*>|{'|'.join(_MODIFIER_WORDS)})[ \t]+)*"
)
_TAIL = r"(?![\w$])"
_ARROW = (
    r"(?:async\b\s*)?(?:function\b|\w+\s*=>|"
    r"(?:<[^<>]{0,200}>\s*)?\([^()]{0,500}\)[^=;{}()]{0,200}=>)"
)
_BODY = r"(?=[^;()=\n]*(?:\{|$))"


def _typed(kind: Kind, keywords: str, after: str = _TAIL) -> _Rule:
    return kind, rf"(?:{keywords})[ \t]+{_NAME}{after}"


_JAVASCRIPT: tuple[_Rule, ...] = (
    ("function", rf"function[ \t]*\*?[ \t]*{_NAME}\s*[(<]"),
    ("class", rf"class[ \t]+{_NAME}{_TAIL}|(?:const|let|var)[ \t]+{_NAME}[ \t]*=\s*class\b"),
    ("function", rf"(?:const[ \t]+|let[ \t]+|var[ \t]+)?{_NAME}{_TAIL}[^=;(){{}}\n]*=\s*{_ARROW}"),
    ("function", rf"(?:[\w$]+\.)+{_NAME}[ \t]*=\s*{_ARROW}"),
    ("method", rf"{_NAME}[ \t]*:\s*{_ARROW}"),
)
_TYPESCRIPT: tuple[_Rule, ...] = (
    *_JAVASCRIPT,
    _typed("interface", "interface"),
    _typed("enum", "enum"),
    _typed("module", "namespace|module"),
    ("type", rf"type[ \t]+{_NAME}{_TAIL}[^=\n]*="),
)
_C: tuple[_Rule, ...] = (
    ("struct", rf"(?:typedef[ \t]+)?(?:struct|union)[ \t]+{_NAME}{_TAIL}{_BODY}"),
    ("enum", rf"(?:typedef[ \t]+)?enum(?:[ \t]+(?:class|struct))?[ \t]+{_NAME}{_TAIL}{_BODY}"),
    ("type", rf"typedef\b[^;{{}}\n]*\b{_NAME}[ \t]*(?:\[[^\]\n]*\])?;|\}}[ \t]*{_NAME}[ \t]*;"),
    ("macro", rf"#[ \t]*define[ \t]+{_NAME}{_TAIL}"),
)
_RULES: Mapping[str, tuple[_Rule, ...]] = {
    "python": (
        ("function", rf"def[ \t]+{_NAME}\s*[(\[]"),
        ("class", rf"class[ \t]+{_NAME}\s*[(\[:]"),
        ("type", rf"type[ \t]+{_NAME}{_TAIL}[^=\n]*="),
    ),
    "javascript": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "go": (
        ("method", rf"func[ \t]*\([^()\n]*\)[ \t]*{_NAME}\s*[(\[]"),
        ("function", rf"func[ \t]+{_NAME}\s*[(\[]"),
        ("struct", rf"(?:type[ \t]+)?{_NAME}(?:\[[^\]\n]*\])?[ \t]+struct\b"),
        ("interface", rf"(?:type[ \t]+)?{_NAME}(?:\[[^\]\n]*\])?[ \t]+interface\b"),
        _typed("type", "type"),
    ),
    "rust": (
        _typed("function", "fn"),
        _typed("struct", "struct|union"),
        _typed("enum", "enum"),
        _typed("trait", "trait"),
        _typed("module", "mod"),
        _typed("type", "type"),
        ("macro", rf"macro_rules![ \t]*{_NAME}{_TAIL}"),
        (
            "extension",
            r"impl(?:<[^{\n]*?>)?[ \t]+(?:[^{\n]*[ \t]for[ \t]+)?(?:\w+::)*"
            rf"{_NAME}{_TAIL}(?![^{{\n]*[ \t]for[ \t])",
        ),
    ),
    "java": (
        _typed("class", "class|record"),
        _typed("interface", "interface|@interface"),
        _typed("enum", "enum"),
    ),
    "c": _C,
    "cpp": (
        *_C,
        ("class", rf"class[ \t]+{_NAME}{_TAIL}(?=[^;()=\n]*(?:\{{|$))"),
        _typed("module", "namespace"),
        _typed("type", "concept"),
        ("type", rf"using[ \t]+{_NAME}[ \t]*="),
    ),
    "csharp": (
        _typed("struct", r"struct|record[ \t]+struct"),
        _typed("class", r"class|record(?:[ \t]+class)?"),
        _typed("interface", "interface"),
        _typed("enum", "enum"),
        _typed("module", "namespace"),
        ("type", rf"delegate[ \t]+[^;(\n]*[ \t]{_NAME}\s*[(<]"),
    ),
    "ruby": (
        _typed("class", "class"),
        _typed("module", "module"),
        ("function", rf"def[ \t]+(?:\w+\.)?{_NAME}(?![\w?!=])"),
    ),
    "php": (
        ("function", rf"function[ \t]+&?{_NAME}\s*\("),
        _typed("class", "class"),
        _typed("interface", "interface"),
        _typed("trait", "trait"),
        _typed("enum", "enum"),
    ),
    "kotlin": (
        ("function", rf"fun[ \t]+(?:<[^<>\n]*>[ \t]*)?(?:[\w.<>?]+\.)?{_NAME}\s*\("),
        _typed("enum", r"enum[ \t]+class"),
        _typed("class", "class|object"),
        _typed("interface", r"(?:fun[ \t]+)?interface"),
        _typed("type", "typealias"),
    ),
    "swift": (
        ("function", rf"(?:class[ \t]+)?func[ \t]+{_NAME}\s*[(<]|(?=init\b){_NAME}[?!]?\s*[(<]"),
        _typed("struct", "struct"),
        _typed("class", "class|actor"),
        _typed("interface", "protocol"),
        _typed("enum", "enum"),
        _typed("extension", "extension"),
        _typed("type", "typealias|associatedtype"),
    ),
    "shell": (("function", rf"function[ \t]+{_NAME}{_TAIL}|{_NAME}[ \t]*\(\)"),),
    "lua": (
        ("function", rf"function[ \t]+(?:[\w.]+[.:])?{_NAME}\s*\("),
        ("function", rf"(?:[\w.]+\.)?{_NAME}[ \t]*=[ \t]*function\b"),
    ),
}

_C_REST = (
    r"\s*(?:(?:const|noexcept(?:\([^()]*\))?|override|final|try|&&?|->[^;{}()]{0,200}|requires[^;{}]{0,200})\s*)*"
    r"(?:\{|:[^:;][^;]{0,1000}\{)"
)
_JAVASCRIPT_REST = r"\s*(?::[^;{}=()]*(?:\{[^{}]*\}[^;{}=()]*)?)?\{|\s*:[^;{}=()]+;"
_REST_OF_CALLABLE: Mapping[str, re.Pattern[str]] = {
    language: re.compile(rest)
    for language, rest in {
        "c": _C_REST,
        "cpp": _C_REST,
        "java": r"\s*(?:\[\]\s*)*(?:throws[\w\s.,]+)?(?:default[^;{}]+)?[{;]",
        "csharp": r"\s*(?:where[^{;]+|:\s*(?:base|this)\s*\([^;{}]*\)\s*)?(?:\{|;|=>)",
        "javascript": _JAVASCRIPT_REST,
        "typescript": _JAVASCRIPT_REST,
        "tsx": _JAVASCRIPT_REST,
    }.items()
}
"""Languages with functions that no keyword begins → what may follow their parameters."""
_MEMBER_WORDS = frozenset(
    _words("async static get set public private protected readonly override abstract *")
)
"""What may stand before a method's name in JavaScript and TypeScript."""
_STATEMENT_WORDS = frozenset(
    _words(
        """return new throw else case await yield delete goto if for while switch catch do using
        lock sizeof in and or not co_return co_await co_yield"""
    )
)
"""Words before a name and parentheses that make this a call, or something else."""
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
    if name.lower() not in text.lower():
        return []
    found = {each.start: each for each in _called(language, text, name)}
    found |= {each.start: each for each in _by_keyword(language, text, f"(?i:{re.escape(name)})")}
    return [found[start] for start in sorted(found)]


def all_beginnings(language: str, text: str) -> list[Beginning]:
    """Return where a text defines anything that a keyword begins, in order."""
    return list(_by_keyword(language, text, _ANY_NAME))


def has_rules(language: str) -> bool:
    """Tell whether there are rules for a language."""
    return language in _RULES


def _by_keyword(language: str, text: str, name: str) -> Iterator[Beginning]:
    if not has_rules(language):
        return
    for found in _pattern(language, name).finditer(text):
        rule, own = "", ""
        for group, matched in found.groupdict().items():
            if matched is not None:
                rule, own = (group, own) if group.startswith("rule") else (rule, matched)
        yield Beginning(found.start(), found.end(), own, _RULES[language][int(rule[4:])][0])


@lru_cache(_CACHED)
def _pattern(language: str, name: str) -> re.Pattern[str]:
    """Return the rules of a language as one pattern: groups "rule…", in each a group "name…"."""
    parts = []
    for number, (_, rule) in enumerate(_RULES[language]):
        own = rule.split(_NAME)
        for place in range(len(own) - 1):
            own[place] += f"(?P<name{number}_{place}>{name})"
        parts.append(f"(?P<rule{number}>{''.join(own)})")
    return re.compile(rf"^[ \t]*{_MODIFIERS}(?:{'|'.join(parts)})", re.MULTILINE)


def _called(language: str, text: str, name: str) -> Iterator[Beginning]:
    """Yield definitions of functions that no keyword begins: `int parse(char *line) {`."""
    rest = _REST_OF_CALLABLE.get(language)
    if rest is None or name in _STATEMENT_WORDS:
        return
    for found in _callable(name).finditer(text):
        closed = _after_parameters(text, found.end())
        after = rest.match(text, closed) if closed else None
        if after and _may_lead(language, found["before"].split(), after[0]):
            yield Beginning(found.start(), found.end(), found["name"], "function")


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
        return _MEMBER_WORDS.issuperset(word.rstrip("#") or "*" for word in before)
    if not before:
        return after.endswith("{")
    return before[0] not in _STATEMENT_WORDS and "?" not in before


def _after_parameters(text: str, inside: int) -> int:
    """Return the offset behind the parenthesis that closes the one before `inside`; 0 for none."""
    depth = 1
    for at in range(inside, min(len(text), inside + _LONGEST_PARAMETERS)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at + 1
    return 0
