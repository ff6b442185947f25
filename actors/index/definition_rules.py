"""How a definition begins, by language, and what kind of thing it defines.

Segments keep the text of chunks and the names of what they are the whole or a part of, but not what
the syntax trees said. So these rules read the text: a line that begins as a definition does is one,
also where it stands in a string. Where the rules find nothing in what a chunk is named after, the
kind is just "definition".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from actors.kinds import Kind

TYPES: frozenset[Kind] = frozenset({"class", "struct", "interface", "trait", "enum", "extension"})
"""A function in one of these is a method."""

_Rule = tuple[Kind, str]
"""A kind, and what the line looks like that begins one, behind its modifiers."""
NAME = "NAME"
"""Stands in a rule for what is defined."""


def _words(text: str) -> list[str]:
    return text.split()


_MODIFIER_WORDS = _words(
    """export default declare async abstract final static public private protected
    internal open sealed data inline value inner companion annotation override partial readonly
    virtual unsafe const suspend tailrec operator infix expect actual external indirect mutating
    nonmutating fileprivate convenience required local extern constexpr"""
)
MODIFIERS = (
    r"(?:(?:@[\w.]+(?:\([^()\n]*\))?|#\[[^\]\n]*\]|pub(?:\([^)\n]*\))?|extern \"\w+\"|"
    rf"template[ \t]*<[^\n]*>|{'|'.join(_MODIFIER_WORDS)})[ \t]+)*"
)
"""What may stand before a keyword in any language; none means something else by another's."""
_TAIL = r"(?![\w$])"
_ARROW = (
    r"(?:async\b\s*)?(?:function\b|\w+\s*=>|"
    r"(?:<[^<>]{0,200}>\s*)?\([^()]{0,500}\)[^=;{}()]{0,200}=>)"
)
_BODY = r"(?=[^;()=\n]*(?:\{|$))"


def _typed(kind: Kind, keywords: str, after: str = _TAIL) -> _Rule:
    return kind, rf"(?:{keywords})[ \t]+{NAME}{after}"


_JAVASCRIPT: tuple[_Rule, ...] = (
    ("function", rf"function[ \t]*\*?[ \t]*{NAME}\s*[(<]"),
    ("class", rf"class[ \t]+{NAME}{_TAIL}|(?:const|let|var)[ \t]+{NAME}[ \t]*=\s*class\b"),
    ("function", rf"(?:const[ \t]+|let[ \t]+|var[ \t]+)?{NAME}{_TAIL}[^=;(){{}}\n]*=\s*{_ARROW}"),
    ("function", rf"(?:[\w$]+\.)+{NAME}[ \t]*=\s*{_ARROW}"),
    ("method", rf"{NAME}[ \t]*:\s*{_ARROW}"),
)
_TYPESCRIPT: tuple[_Rule, ...] = (
    *_JAVASCRIPT,
    _typed("interface", "interface"),
    _typed("enum", "enum"),
    _typed("module", "namespace|module"),
    ("type", rf"type[ \t]+{NAME}{_TAIL}[^=\n]*="),
)
_C: tuple[_Rule, ...] = (
    ("struct", rf"(?:typedef[ \t]+)?(?:struct|union)[ \t]+{NAME}{_TAIL}{_BODY}"),
    ("enum", rf"(?:typedef[ \t]+)?enum(?:[ \t]+(?:class|struct))?[ \t]+{NAME}{_TAIL}{_BODY}"),
    ("type", rf"typedef\b[^;{{}}\n]*\b{NAME}[ \t]*(?:\[[^\]\n]*\])?;|\}}[ \t]*{NAME}[ \t]*;"),
    ("macro", rf"#[ \t]*define[ \t]+{NAME}{_TAIL}"),
)
RULES: Mapping[str, tuple[_Rule, ...]] = {
    "python": (
        ("function", rf"def[ \t]+{NAME}\s*[(\[]"),
        ("class", rf"class[ \t]+{NAME}\s*[(\[:]"),
        ("type", rf"type[ \t]+{NAME}{_TAIL}[^=\n]*="),
    ),
    "javascript": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "go": (
        ("method", rf"func[ \t]*\([^()\n]*\)[ \t]*{NAME}\s*[(\[]"),
        ("function", rf"func[ \t]+{NAME}\s*[(\[]"),
        ("struct", rf"(?:type[ \t]+)?{NAME}(?:\[[^\]\n]*\])?[ \t]+struct\b"),
        ("interface", rf"(?:type[ \t]+)?{NAME}(?:\[[^\]\n]*\])?[ \t]+interface\b"),
        _typed("type", "type"),
    ),
    "rust": (
        _typed("function", "fn"),
        _typed("struct", "struct|union"),
        _typed("enum", "enum"),
        _typed("trait", "trait"),
        _typed("module", "mod"),
        _typed("type", "type"),
        ("macro", rf"macro_rules![ \t]*{NAME}{_TAIL}"),
        (
            "extension",
            r"impl(?:<[^{\n]*?>)?[ \t]+(?:[^{\n]*[ \t]for[ \t]+)?(?:\w+::)*"
            rf"{NAME}{_TAIL}(?![^{{\n]*[ \t]for[ \t])",
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
        ("class", rf"class[ \t]+{NAME}{_TAIL}(?=[^;()=\n]*(?:\{{|$))"),
        _typed("module", "namespace"),
        _typed("type", "concept"),
        ("type", rf"using[ \t]+{NAME}[ \t]*="),
    ),
    "csharp": (
        _typed("struct", r"struct|record[ \t]+struct"),
        _typed("class", r"class|record(?:[ \t]+class)?"),
        _typed("interface", "interface"),
        _typed("enum", "enum"),
        _typed("module", "namespace"),
        ("type", rf"delegate[ \t]+[^;(\n]*[ \t]{NAME}\s*[(<]"),
    ),
    "ruby": (
        _typed("class", "class"),
        _typed("module", "module"),
        ("function", rf"def[ \t]+(?:\w+\.)?{NAME}(?![\w?!=])"),
    ),
    "php": (
        ("function", rf"function[ \t]+&?{NAME}\s*\("),
        _typed("class", "class"),
        _typed("interface", "interface"),
        _typed("trait", "trait"),
        _typed("enum", "enum"),
    ),
    "kotlin": (
        ("function", rf"fun[ \t]+(?:<[^<>\n]*>[ \t]*)?(?:[\w.<>?]+\.)?{NAME}\s*\("),
        _typed("enum", r"enum[ \t]+class"),
        _typed("class", "class|object"),
        _typed("interface", r"(?:fun[ \t]+)?interface"),
        _typed("type", "typealias"),
    ),
    "swift": (
        ("function", rf"(?:class[ \t]+)?func[ \t]+{NAME}\s*[(<]|(?=init\b){NAME}[?!]?\s*[(<]"),
        _typed("struct", "struct"),
        _typed("class", "class|actor"),
        _typed("interface", "protocol"),
        _typed("enum", "enum"),
        _typed("extension", "extension"),
        _typed("type", "typealias|associatedtype"),
    ),
    "shell": (("function", rf"function[ \t]+{NAME}{_TAIL}|{NAME}[ \t]*\(\)"),),
    "lua": (
        ("function", rf"function[ \t]+(?:[\w.]+[.:])?{NAME}\s*\("),
        ("function", rf"(?:[\w.]+\.)?{NAME}[ \t]*=[ \t]*function\b"),
    ),
}
"""Language → what its definitions look like that a keyword begins; the first that fits counts."""

_C_REST = (
    r"\s*(?:(?:const|noexcept(?:\([^()]*\))?|override|final|try|&&?|->[^;{}()]{0,200}|requires[^;{}]{0,200})\s*)*"
    r"(?:\{|:[^:;][^;]{0,1000}\{)"
)
_JAVASCRIPT_REST = r"\s*(?::[^;{}=()]*(?:\{[^{}]*\}[^;{}=()]*)?)?\{|\s*:[^;{}=()]+;"
REST_OF_CALLABLE: Mapping[str, re.Pattern[str]] = {
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
MEMBER_WORDS = frozenset(
    _words("async static get set public private protected readonly override abstract *")
)
"""What may stand before a method's name in JavaScript and TypeScript."""
STATEMENT_WORDS = frozenset(
    _words(
        """return new throw else case await yield delete goto if for while switch catch do using
        lock sizeof in and or not co_return co_await co_yield"""
    )
)
"""Words before a name and parentheses that make this a call, or something else."""
