"""What is indexed and what is asked: Python's standard library, and queries drawn from it."""

from __future__ import annotations

import ast
import random
import shutil
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SEED = 20_240_601
_FEWEST_WORDS = 5
_MOST_CHARS = 200
_SHORTEST_NAME = 8
_IDENTIFIERS = 3
"""One query of so many is an identifier; the others are sentences."""

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Query:
    """A query, and the file it was taken from.

    Attributes:
        text: The first line of a docstring, or the name of what is defined.
        path: Relative to the corpus; both programs are asked whether they find it.
    """

    text: str
    path: str


def copy_standard_library(to: Path) -> dict[str, int | float]:
    """Copy the `*.py` of this Python's standard library and return what was copied."""
    source = Path(sysconfig.get_path("stdlib"))
    files = sorted(f for f in source.rglob("*.py") if "site-packages" not in f.parts)
    for file in files:
        target = to / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    size = sum(file.stat().st_size for file in to.rglob("*.py"))
    return {"files": len(files), "mb": round(size / 1e6, 1)}


def queries(corpus: Path, number: int) -> list[Query]:
    """Return distinct queries, the same for the same corpus: two sentences, then an identifier."""
    sentences: dict[str, Query] = {}
    names: dict[str, Query] = {}
    for path, node in _definitions(corpus):
        sentence = _first_line(node)
        if sentence:
            sentences.setdefault(sentence.lower(), Query(sentence, path))
        if len(node.name) >= _SHORTEST_NAME and not node.name.startswith(("_", "test")):
            names.setdefault(node.name.lower(), Query(node.name, path))
    choose = random.Random(_SEED)  # noqa: S311 - no secret
    identifiers = choose.sample(list(names.values()), number // _IDENTIFIERS)
    chosen = [*identifiers, *choose.sample(list(sentences.values()), number - len(identifiers))]
    choose.shuffle(chosen)
    return chosen


def _definitions(corpus: Path) -> Iterator[tuple[str, _Definition]]:
    for file in sorted(corpus.rglob("*.py")):
        path = file.relative_to(corpus)
        if "test" in path.parts or "tests" in path.parts:
            continue
        for node in ast.walk(_parsed(file)):
            if isinstance(node, _Definition):
                yield path.as_posix(), node


def _parsed(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):  # the library holds files that are wrong on purpose
            return ast.Module([], [])


def _first_line(node: _Definition) -> str:
    line = (ast.get_docstring(node) or "").partition("\n")[0].strip()
    return line if len(line.split()) >= _FEWEST_WORDS and len(line) <= _MOST_CHARS else ""
