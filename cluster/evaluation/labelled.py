"""Labelled sets: documents, questions about them, and which document answers which question.

A set is a folder with

    corpus.jsonl    {"id": "d1", "text": "…", "title": "…", "path": "src/a.py"}, the last two if any
    queries.jsonl   {"id": "q1", "text": "…", "repo": "src"}, the last one if any
    qrels.tsv       query-id, doc-id, relevance, with tabs between, below a line of headings

What else an object holds is passed over. A question without a relevant document is not asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from actors.errors import InvalidRequest, NotFound
from cluster.operation import first_problem
from cluster.protocol import MAX_PATH_CHARS, MAX_QUERY_CHARS

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels.tsv"
_COLUMNS = ("query-id", "doc-id", "relevance")

Id = Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARS)]
OrNull = Annotated[str, BeforeValidator(lambda given: "" if given is None else given)]
"""A null is as good as absence."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    id: Id


class Document(_Row):
    """What can be found.

    Attributes:
        id: Names it in judgements.
        text: All of it.
        title: Stands above the text of a passage.
        path: Where it stands, if that is not its id; passages of one file have it in common.
    """

    text: str
    title: OrNull = ""
    path: Annotated[OrNull, Field(max_length=MAX_PATH_CHARS)] = ""

    @property
    def place(self) -> str:
        """Its path, or what stands for it."""
        return self.path or self.id


class Question(_Row):
    """What is asked.

    Attributes:
        id: Names it in judgements.
        text: The question.
        repo: The folder, at the top, that is searched; "" for all.
    """

    text: Annotated[str, Field(max_length=MAX_QUERY_CHARS, pattern=r"\S")]
    repo: OrNull = ""


class Judgement(BaseModel):
    """How relevant a document is to a question; 0 is not at all."""

    query: str = Field(alias="query-id")
    document: str = Field(alias="doc-id")
    relevance: float = Field(ge=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Documents that are searched together.

    Attributes:
        name: Its folder's.
        documents: In the order of their file.
        questions: Those that a document answers, in the order of their file.
        grades: Question's id → document's id → relevance.
    """

    name: str
    documents: Sequence[Document]
    questions: Sequence[Question]
    grades: Mapping[str, Mapping[str, float]]


_RowT = TypeVar("_RowT", bound=_Row)


def read_sets(folders: Iterable[str | Path]) -> list[LabelledSet]:
    """Read the sets that folders are, or hold; see `read_set`.

    Raises:
        NotFound: A folder neither is a set nor holds one.
        InvalidRequest: A file is not as it should be.
    """
    return [read_set(found) for folder in folders for found in _sets_in(Path(folder).resolve())]


def read_set(folder: Path) -> LabelledSet:
    """Read a set, and check that its parts belong together.

    Raises:
        NotFound: A file is not there.
        InvalidRequest: A line is not as it should be; names the file, the line and the way out.
    """
    documents: dict[str, Document] = {}
    _read(folder / CORPUS, lambda line: _add(Document.model_validate_json(line), documents))
    folders = {document.place.partition("/")[0] for document in documents.values()}
    questions: dict[str, Question] = {}

    def question(line: bytes) -> None:
        row = Question.model_validate_json(line)
        if row.repo and row.repo not in folders:
            message = f"no document's path begins with the repo, {row.repo!r}"
            raise ValueError(message)
        _add(row, questions)

    _read(folder / QUERIES, question)
    grades = _grades(folder / QRELS, documents, questions)
    asked = [row for row in questions.values() if any(grades[row.id].values())]
    if not asked:
        message = f"{folder / QRELS}: no question has a relevant document; add a line for one"
        raise InvalidRequest(message)
    return LabelledSet(folder.name, tuple(documents.values()), asked, grades)


def _sets_in(folder: Path) -> list[Path]:
    if any((folder / name).exists() for name in (CORPUS, QUERIES, QRELS)):
        return [folder]
    found = sorted(file.parent for file in folder.glob(f"*/{QRELS}"))
    if not found:
        files = f"{CORPUS}, {QUERIES} and {QRELS}"
        message = f"{folder} holds no labelled set; give a folder with {files}, or one of such"
        raise NotFound(message)
    return found


def _grades(
    file: Path, documents: Mapping[str, Document], questions: Mapping[str, Question]
) -> dict[str, dict[str, float]]:
    grades: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def judgement(line: bytes) -> None:
        row = Judgement.model_validate(_columns(line))
        for name, known, where in (
            (row.query, questions, QUERIES),
            (row.document, documents, CORPUS),
        ):
            if name not in known:
                message = f"{name!r} is no id in {where}"
                raise ValueError(message)
        if row.document in grades[row.query]:
            message = f"{row.document!r} was judged for {row.query!r} in an earlier line"
            raise ValueError(message)
        grades[row.query][row.document] = row.relevance

    _read(file, judgement, _headings)
    return {name: grades[name] for name in questions}


def _columns(line: bytes) -> dict[str, str]:
    columns = line.decode().rstrip("\r\n").split("\t")
    if len(columns) != len(_COLUMNS):
        message = f"{len(columns)} columns between tabs, not {len(_COLUMNS)}"
        raise ValueError(message)
    return dict(zip(_COLUMNS, columns, strict=True))


def _headings(line: bytes) -> None:
    relevance = _columns(line)["relevance"]
    if relevance.replace(".", "").isdigit():
        message = "the first line is a judgement, and is to be one of headings"
        raise ValueError(message)


def _add(row: _RowT, rows: dict[str, _RowT]) -> None:
    if row.id in rows:
        message = f"the id {row.id!r} is that of an earlier line"
        raise ValueError(message)
    rows[row.id] = row


def _read(
    file: Path, take: Callable[[bytes], None], take_first: Callable[[bytes], None] | None = None
) -> None:
    """Have each line taken that is not blank; what is raised says which one was not."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    _try(take_first if take_first and number == 1 else take, line, file, number)
    except FileNotFoundError as error:
        message = f"{file} is not there; a labelled set has {CORPUS}, {QUERIES} and {QRELS}"
        raise NotFound(message) from error


def _try(take: Callable[[bytes], None], line: bytes, file: Path, number: int) -> None:
    try:
        take(line)
    except ValueError as error:
        said = first_problem(error) if isinstance(error, ValidationError) else error
        message = f"{file}:{number}: {said}; correct the line or take it out ({_FORM[file.name]})"
        raise InvalidRequest(message) from error


_FORM = {
    CORPUS: 'one object a line, as in {"id": "d1", "text": "…"}',
    QUERIES: 'one object a line, as in {"id": "q1", "text": "…"}',
    QRELS: "one judgement a line, as in q1<tab>d1<tab>1, below a line of headings",
}
