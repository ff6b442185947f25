"""Python source: docstrings, comments, names and tests, each with the code that they tell about."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator

from actors.engines.identifiers import split_identifiers
from training.pairs.pair import Pair, make_pair, summary_of

KIND = "python"
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_FEWEST_NAME_WORDS = 3
_LONGEST_COMMENT_CODE = 15  # lines
_COMMENT = re.compile(r"(?:^[ \t]*#(?!!).*\n)+", re.MULTILINE)
_FEWEST_REST = 80  # characters: what is left of a docstring is then a passage of its own


def pairs_of_python(text: str, source: str) -> Iterator[Pair]:
    """Yield the pairs of one file; nothing where it is not Python that this version parses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = text.split("\n")
    found: list[Pair | None] = []
    for node in ast.walk(tree):
        if isinstance(node, _Definition):
            found.extend(_of_definition(node, lines, source))
    found.extend(_of_comments(text, source))
    yield from filter(None, found)


def _of_definition(node: _Definition, lines: list[str], source: str) -> Iterator[Pair | None]:
    docstring = ast.get_docstring(node) or ""
    code = textwrap.dedent("\n".join(_without_docstring(node, lines)))
    name = split_identifiers(node.name)
    words = name.split()
    if docstring:
        summary, rest = summary_of(docstring)
        yield make_pair(KIND, source, summary, code)
        if len(rest) >= _FEWEST_REST:
            yield make_pair("docstring", source, summary, rest)
        if len(words) >= _FEWEST_NAME_WORDS and not isinstance(node, ast.ClassDef):
            body = "\n".join([summary, *code.split("\n")[1:]])
            yield make_pair("name", source, name, body)
    elif words[:1] == ["test"] and len(words) > _FEWEST_NAME_WORDS:
        body = "\n".join(code.split("\n")[1:])
        yield make_pair("test", source, " ".join(words[1:]), body)


def _without_docstring(node: _Definition, lines: list[str]) -> list[str]:
    start, end = node.lineno - 1, node.end_lineno or node.lineno
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return lines[start:end]
    return lines[start : first.lineno - 1] + lines[first.end_lineno or first.lineno : end]


def _of_comments(text: str, source: str) -> Iterator[Pair | None]:
    for match in _COMMENT.finditer(text):
        block = match.group()
        comment = re.sub(r"^[ \t]*#+:? ?", "", block, flags=re.MULTILINE)
        indent = len(block) - len(block.lstrip(" \t"))
        code = _code_after(text[match.end() : match.end() + 2_000], indent)
        if code.count("\n"):
            yield make_pair("comment", source, comment, textwrap.dedent(code), fewest_words=4)


def _code_after(text: str, indent: int) -> str:
    """Return the lines that follow a comment: to a blank line, or one further out."""
    kept: list[str] = []
    for line in text.split("\n")[:_LONGEST_COMMENT_CODE]:
        if not line.strip() or len(line) - len(line.lstrip()) < indent:
            break
        kept.append(line)
    return "\n".join(kept)
