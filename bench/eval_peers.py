"""The peers of `eval.py`: they get the same documents and questions, and are judged alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from sides import Peer, SemblePeer

from actors.index.writing import searchable_text
from cluster.evaluation.cutting import cut
from cluster.evaluation.labelled import Document, LabelledSet, Question
from cluster.evaluation.metrics import DEPTH, ndcg, percentile, recall, reciprocal_rank

_MOST_CHUNKS = 1000
"""Asked for where a document may have several: Shoal's own limit."""
_SEMBLE_LIMITS = (10, 50)
"""What its programs ask for, and enough for ten files nearly always; its ranking depends on it."""
_BM25S_PEER = Path(__file__).with_name("bm25s_peer.py")


@dataclass(frozen=True, slots=True)
class Part:
    """Documents that are searched alone, and the questions about them.

    Attributes:
        folder: That they have in common, with a slash; "" for all of a set.
    """

    folder: str
    documents: Sequence[Document]
    questions: Sequence[Question]


def parts(labelled: LabelledSet) -> Iterator[Part]:
    """Part a set by what its questions look into."""
    for repo in dict.fromkeys(question.repo for question in labelled.questions):
        folder = f"{repo}/" if repo else ""
        documents = [d for d in labelled.documents if d.place.startswith(folder)]
        yield Part(folder, documents, [q for q in labelled.questions if q.repo == repo])


class Answers:
    """What a peer answers, judged as Shoal's answers are."""

    def __init__(self, labelled: LabelledSet) -> None:
        self._labelled = labelled
        self._found: list[tuple[Sequence[str], Mapping[str, float]]] = []
        self._ms: list[float] = []

    def add(self, question: Question, ranked: Sequence[str], ms: float) -> None:
        """Take the documents found for a question, best first, and how long that took."""
        self._found.append((ranked, self._labelled.grades[question.id]))
        self._ms.append(ms)

    def figures(self) -> dict[str, float]:
        """Return the means over all questions."""
        measures = {"ndcg_at_10": ndcg, "recall_at_10": recall, "mrr_at_10": reciprocal_rank}
        means = {
            name: round(fmean(measure(*one) for one in self._found), 4)
            for name, measure in measures.items()
        }
        times = {f"p{n}_ms": round(percentile(self._ms, n), 3) for n in (50, 90)}
        return {**means, **times}


def bm25s(labelled: LabelledSet, work: Path) -> dict[str, Any]:
    """Ask bm25s, with its own tokenizer, about the texts of Shoal's chunks."""
    answers, index_s = Answers(labelled), 0.0
    with Peer(_BM25S_PEER) as peer:
        for part in parts(labelled):
            documents = cut(part.documents)
            chunks = documents.chunks
            texts = [searchable_text(c.path, c.symbol, c.text, c.signature) for c in chunks]
            (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
            index_s += peer.ask(do="index_texts", file=str(work / "texts.json"))["index_s"]
            asked = [question.text for question in part.questions]
            most = DEPTH if len(chunks) == len(part.documents) else _MOST_CHUNKS
            peer.ask(do="search_texts", queries=asked[:1], k=1)  # compiles
            said = peer.ask(do="search_texts", queries=asked, k=min(most, len(texts)))
            for question, rows, ms in zip(part.questions, said["found"], said["ms"], strict=True):
                places = (((chunks[row].path, chunks[row].start_line), 0.0) for row in rows)
                answers.add(question, list(documents.ranked(places)), ms)
    return {"index_s": round(index_s, 3), **answers.figures()}


def semble(labelled: LabelledSet, work: Path) -> dict[str, Any]:
    """Ask semble, with Shoal's built-in model, about repositories that are indexed one by one.

    A file is where its best chunk is.
    """
    (work / "cache").mkdir()
    answers = {limit: Answers(labelled) for limit in _SEMBLE_LIMITS}
    chunks, index_s = 0, 0.0
    with SemblePeer(work / "cache", workers=0) as peer:
        peer.ask(do="load")
        for part in parts(labelled):
            ids = _write(part, work / "repositories" / part.folder)
            indexed = peer.ask(do="index", folder=str(work / "repositories" / part.folder))
            chunks, index_s = chunks + indexed["chunks"], index_s + indexed["index_s"]
            asked = [question.text for question in part.questions]
            for limit, taken in answers.items():
                said = peer.ask(do="search", queries=asked, limit=limit)
                for question, paths, ms in zip(
                    part.questions, said["found"], said["ms"], strict=True
                ):
                    taken.add(question, [ids[path] for path in dict.fromkeys(paths)], ms)
        unread = peer.ask(do="unread")
    return {
        "model_settings_it_does_not_know": unread,
        "chunks": chunks,
        "index_s": round(index_s, 3),
        **{f"limit_{limit}": taken.figures() for limit, taken in answers.items()},
    }


def _write(part: Part, folder: Path) -> dict[str, str]:
    """Write documents as files; return path below the folder → document's id."""
    ids = {}
    for document in part.documents:
        path = document.place.removeprefix(part.folder)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(document.text, encoding="utf-8")
        ids[path] = document.id
    return ids
