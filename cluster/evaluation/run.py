"""Asks a gateway the questions of a labelled set, and tells how good its answers are.

All goes through the client, as in a user's program: the documents are handed into a collection of
the run's own, which is searched and then deleted, also where the run is broken off.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import get_args

from actors.errors import NotFound, ShoalError
from cluster.client import ShoalClient
from cluster.evaluation.cutting import CutDocuments, cut
from cluster.evaluation.labelled import LabelledSet, Question
from cluster.evaluation.metrics import DEPTH, ndcg, percentile, recall, reciprocal_rank
from cluster.protocol import MAX_LIMIT, IngestChunk, Message, Mode, SearchReply

MODES: tuple[Mode, ...] = get_args(Mode)
OnPhase = Callable[[str], None]

_log = logging.getLogger("shoal.evaluation")

_WIDER = 10
"""How many times the hits are asked for where those of before are of too few documents."""
_TOLD_EVERY = 50
"""Chunks handed in, or questions asked, until progress is told again."""
_LATE_S = 15.0
"""So much later than its making was broken off, a collection may still appear: a model loads."""
_LOOK_S = 0.2
_NAME_CHARS = 40


class Ranked(Message):
    """A document that was found; `score` is its best chunk's."""

    id: str
    score: float


class Answer(Message):
    """The first ten documents for a question, best first, and what that is worth."""

    question: str
    documents: tuple[Ranked, ...]
    ndcg_at_10: float
    recall_at_10: float
    reciprocal_rank_at_10: float


class Outcome(Message):
    """How good the answers of a mode are: means over the questions.

    `p50_ms` and `p90_ms` are of searches for ten hits, one after the other, as the client sees
    them. The vector of a question that was asked in a mode before is still known by then.
    """

    ndcg_at_10: float
    recall_at_10: float
    mrr_at_10: float
    p50_ms: float
    p90_ms: float
    answers: tuple[Answer, ...]


class Evaluation(Message):
    """What was asked of a set with a model, and the outcome in each mode.

    `fingerprint` names the model's vector space; `ingest_s` is how long the documents took.
    """

    name: str
    model: str
    fingerprint: str
    documents: int
    chunks: int
    questions: int
    ingest_s: float
    modes: dict[Mode, Outcome]


def evaluate(
    client: ShoalClient,
    labelled: LabelledSet,
    model: str | None = None,
    modes: Sequence[Mode] = MODES,
    on_phase: OnPhase = lambda _: None,
) -> Evaluation:
    """Hand a set's documents in, ask its questions in each mode, and delete the collection.

    Args:
        client: Of any gateway; its token has to reach as far as deleting.
        labelled: The set.
        model: Makes the vectors; None for the gateway's own.
        modes: What is asked, in turn.
        on_phase: Told what is being done.

    Raises:
        ShoalError: From the gateway; the collection is gone then, too.
    """
    documents = cut(labelled.documents)
    with _own_collection(client, labelled.name) as collection:
        started = time.perf_counter()
        _ingest(client, collection, documents.chunks, model, on_phase)
        ingest_s = round(time.perf_counter() - started, 3)
        used = next(each for each in client.models() if collection in each.collections)
        asking = _Asking(client, collection, labelled, documents, on_phase)
        return Evaluation(
            name=labelled.name,
            model=used.name,
            fingerprint=used.fingerprint,
            documents=len(labelled.documents),
            chunks=len(documents.chunks),
            questions=len(labelled.questions),
            ingest_s=ingest_s,
            modes={mode: asking.outcome(mode) for mode in modes},
        )


@contextmanager
def _own_collection(client: ShoalClient, name: str) -> Iterator[str]:
    """Yield the name of a collection that is made in the block, and is gone after it."""
    tame = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    collection = f"eval-{tame[:_NAME_CHARS]}-{secrets.token_hex(4)}"
    try:
        yield collection
    except BaseException as error:
        client.close()  # it may wait for an answer that nobody wants any more
        _delete(client, collection, 0.0 if isinstance(error, ShoalError) else _LATE_S)
        raise
    _delete(client, collection, 0.0)


def _delete(client: ShoalClient, collection: str, late_s: float) -> None:
    """Delete a collection, and wait for one that may still appear."""
    give_up = time.monotonic() + late_s
    while True:
        try:
            return client.delete(collection)
        except NotFound:
            if time.monotonic() > give_up:
                return None
        except ShoalError as error:
            _log.warning("%s is left over (%s): `shoal delete %s`", collection, error, collection)
            return None
        time.sleep(_LOOK_S)


def _ingest(
    client: ShoalClient,
    collection: str,
    chunks: Sequence[IngestChunk],
    model: str | None,
    on_phase: OnPhase,
) -> None:
    """Make the collection with one chunk, which is quick, and then hand all in.

    An ingest that is broken off late may still publish. Into a collection that was deleted
    meanwhile it cannot, whereas it would make one that was not there.
    """
    on_phase(f"{collection}: loading the model")
    client.ingest(chunks[:1], collection=collection, model=model)

    def counted() -> Iterator[IngestChunk]:
        for number, chunk in enumerate(chunks):
            if number % _TOLD_EVERY == 0:
                on_phase(f"{collection}: {number} of {len(chunks)} chunks handed in")
            yield chunk
        on_phase(f"{collection}: publishing {len(chunks)} chunks")

    client.ingest(counted(), collection=collection)


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks the questions of a set."""

    client: ShoalClient
    collection: str
    labelled: LabelledSet
    documents: CutDocuments
    on_phase: OnPhase

    def outcome(self, mode: Mode) -> Outcome:
        """Ask all in a mode."""
        questions = self.labelled.questions
        self._search(Question(id="-", text="the first search loads"), mode, DEPTH)
        answers, spent = [], []
        for number, question in enumerate(questions):
            if number % _TOLD_EVERY == 0:
                self.on_phase(f"{self.collection}: {mode}, question {number} of {len(questions)}")
            found, ms = self._ask(question, mode)
            answers.append(_judged(question, found, self.labelled.grades[question.id]))
            spent.append(ms)
        return Outcome(
            ndcg_at_10=fmean(answer.ndcg_at_10 for answer in answers),
            recall_at_10=fmean(answer.recall_at_10 for answer in answers),
            mrr_at_10=fmean(answer.reciprocal_rank_at_10 for answer in answers),
            p50_ms=percentile(spent, 50),
            p90_ms=percentile(spent, 90),
            answers=tuple(answers),
        )

    def _ask(self, question: Question, mode: Mode) -> tuple[dict[str, float], float]:
        """Return the first ten documents with their scores, and the time of a search in ms."""
        limit = DEPTH
        started = time.perf_counter()
        reply = self._search(question, mode, limit)
        ms = (time.perf_counter() - started) * 1e3
        found = self._ranked(reply)
        while len(found) < DEPTH and reply.more and limit < MAX_LIMIT:
            limit = min(limit * _WIDER, MAX_LIMIT)
            reply = self._search(question, mode, limit)
            found = self._ranked(reply)
        return dict(islice(found.items(), DEPTH)), ms

    def _search(self, question: Question, mode: Mode, limit: int) -> SearchReply:
        return self.client.search(
            question.text,
            collections=[self.collection],
            mode=mode,
            limit=limit,
            paths=[_glob_below(question.repo)] if question.repo else (),
            require_full_coverage=True,
        )

    def _ranked(self, reply: SearchReply) -> dict[str, float]:
        return self.documents.ranked(((h.path, h.start_line), h.score) for h in reply.hits)


def _judged(question: Question, found: dict[str, float], grades: Mapping[str, float]) -> Answer:
    ranked = list(found)
    return Answer(
        question=question.id,
        documents=tuple(Ranked(id=one, score=score) for one, score in found.items()),
        ndcg_at_10=ndcg(ranked, grades),
        recall_at_10=recall(ranked, grades),
        reciprocal_rank_at_10=reciprocal_rank(ranked, grades),
    )


def _glob_below(folder: str) -> str:
    """Return the glob of all that stands below a folder at the top, whatever its name is."""
    return "/" + re.sub(r"([\\*?\[\]])", r"\\\1", folder) + "/"
