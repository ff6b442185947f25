"""Labelled questions for chunkers: documents, and the spans of them that answer.

`chunkeval` (Chroma's chunking evaluation) marks the excerpts that answer a question; `semble3`
(three repositories of semble's benchmark) marks files, and for some questions a definition's lines;
`cookbook_code` (Anthropic's cookbook) marks chunks of ninety source files.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from report import REPOSITORY

from actors.messages import Chunk

_TOKEN = re.compile(r"\w+|[^\w\s]")
"""Words and signs: what a reader pays for, whatever the model's tokenizer."""


@dataclass(frozen=True)
class Document:
    """One file.

    Attributes:
        path: As it is indexed.
        text: All of it.
    """

    path: str
    text: str

    @cached_property
    def lines(self) -> list[int]:
        """Character offset of each line, and of the end."""
        return list(accumulate((len(line) + 1 for line in self.text.split("\n")), initial=0))

    @cached_property
    def _tokens(self) -> list[int]:
        return [found.start() for found in _TOKEN.finditer(self.text)]

    def span(self, start: int, end: int) -> range:
        """Return the tokens that begin between two character offsets."""
        return range(bisect_left(self._tokens, start), bisect_left(self._tokens, end))

    def span_of_lines(self, first: int, last: int) -> range:
        """Return the tokens of lines, counted from 1, the last included."""
        return self.span(self.lines[first - 1], self.lines[min(last, len(self.lines) - 1)])

    def spans_of(self, chunks: Sequence[Chunk]) -> Iterator[range]:
        """Return the tokens of each of its chunks, which come in order."""
        line, place = 0, 0
        for chunk in chunks:
            # Parts of one long line have its number in common.
            place = self.lines[chunk.start_line - 1] if chunk.start_line != line else place
            start = self.text.index(chunk.text, place)
            line, place = chunk.start_line, start + len(chunk.text)
            yield self.span(start, place)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and where the answer is.

    Attributes:
        text: The question.
        files: Paths that answer it.
        spans: Path and tokens of each passage that answers it; none where only files are marked.
    """

    text: str
    files: frozenset[str]
    spans: Sequence[tuple[str, range]]


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Documents that are searched together.

    Attributes:
        name: Whose they are.
        language: What nearly all of them are written in; "" for many.
        documents: By path.
        questions: About them.
    """

    name: str
    language: str
    documents: dict[str, Document]
    questions: Sequence[Question]


def chunkeval() -> LabelledSet:
    """Read Chroma's five documents and the questions about them."""
    folder = eval_folder("chunkeval")
    texts = {
        file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("raw/*.md"))
    }
    documents = {path: Document(path, text) for path, text in texts.items()}
    questions = []
    for asked in _json_lines(folder / "queries.jsonl"):
        path = f"{asked['doc']}.md"
        spans = [(path, documents[path].span(*span)) for span in asked["spans"]]
        questions.append(Question(asked["text"], frozenset([path]), spans))
    return LabelledSet("chunkeval", "markdown", documents, questions)


def cookbook_code() -> LabelledSet:
    """Read the source files, put together from their chunks, and the questions about these."""
    folder = eval_folder("cookbook-code")
    texts: dict[str, str] = {}
    places: dict[str, tuple[str, int, int]] = {}
    for row in _json_lines(folder / "corpus.jsonl"):
        path, before = row["path"], texts.get(row["path"], "")
        texts[path] = before + row["text"]
        places[row["id"]] = (path, len(before), len(texts[path]))
    documents = {path: Document(path, text) for path, text in texts.items()}
    answers = _answers(folder / "qrels.tsv")
    questions = []
    for asked in _json_lines(folder / "queries.jsonl"):
        marked = [places[name] for name in sorted(answers[asked["id"]])]
        spans = [(path, documents[path].span(start, end)) for path, start, end in marked]
        questions.append(Question(asked["text"], frozenset(path for path, _ in spans), spans))
    return LabelledSet("cookbook-code", "", documents, questions)


def semble3() -> list[LabelledSet]:
    """Read the three repositories, each of which is searched alone."""
    folder = eval_folder("semble3")
    texts = {row["id"]: row["text"] for row in _json_lines(folder / "corpus.jsonl")}
    asked = list(_json_lines(folder / "queries.jsonl"))
    return [
        _repository(name, language, texts, asked, _answers(folder / "qrels.tsv"))
        for name, language in (("fastapi", "python"), ("model2vec", "python"), ("gin", "go"))
    ]


def _repository(
    name: str,
    language: str,
    texts: dict[str, str],
    asked: Sequence[dict[str, Any]],
    answers: dict[str, set[str]],
) -> LabelledSet:
    prefix = f"{name}/"
    own = {i.removeprefix(prefix): text for i, text in texts.items() if i.startswith(prefix)}
    documents = {path: Document(path, text) for path, text in own.items()}
    questions = [
        Question(
            query["text"],
            frozenset(found.removeprefix(prefix) for found in answers[query["id"]]),
            [
                (s["path"], documents[s["path"]].span_of_lines(s["start_line"], s["end_line"]))
                for s in query.get("spans", ())
            ],
        )
        for query in asked
        if query["repo"] == name
    ]
    return LabelledSet(name, language, documents, questions)


def _answers(file: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with file.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows, delimiter="\t"):
            found.setdefault(row["query-id"], set()).add(row["doc-id"])
    return found


def eval_folder(name: str = "") -> Path:
    """Return the folder of a labelled set, or of all; end the program where it is absent."""
    shared = Path(os.environ.get("SHOAL_SHARED") or REPOSITORY.parent / "shared")
    folder = shared / "eval" / name
    if not folder.exists():
        sys.exit(f"{folder} is not there: set SHOAL_SHARED to the folder that holds eval/{name}")
    return folder


def _json_lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
