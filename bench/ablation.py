"""What each constant of the ranking brings: nDCG@10 of every labelled set, with one taken away.

Shoal's own index and ranking, in this process, with the sets of `shoal eval`. Changes of what the
words of a query weigh are measured in both modes that use words.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import numpy as np
import report
from eval import MODELS
from labelled import eval_folder
from numpy.typing import NDArray

from actors.catalog import Catalog
from actors.engines.base import Engine
from actors.engines.registry import describe, open_engine
from actors.index import fusion, question
from actors.index.fusion import Mode
from actors.index.question import QueryKind, Wish, wish_of
from actors.index.ranking import Ranking, ranked
from actors.index.shards import Shards
from actors.index.signals import SHARES
from actors.index.writing import chunk_block, chunk_ids, write_segment
from actors.messages import Chunk, Filter, SearchRequest, ShardAnswer, ShardQuery
from actors.routing import weighing
from actors.routing.corpus import Corpora, make_plan
from actors.routing.gather import best_of, depth_for
from actors.routing.weighing import weigh_query
from actors.storage import Storage
from cluster.evaluation.cutting import cut
from cluster.evaluation.labelled import LabelledSet, Question, read_sets
from cluster.evaluation.metrics import ndcg

COLLECTION = "bench"
MOST = 200
"""Hits: enough for ten documents."""
COHERENCE = 0.05
"""Tried, and left: what the best chunk of a file would gain of the scores of its others."""
_COHERENT = 40
_AT_ONCE = 256
_RRF_K = 60
"""Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion"."""

Answer = tuple[ShardAnswer, Wish]
Rank = Callable[[Answer], Ranking]


@dataclass(frozen=True, slots=True)
class Indexed:
    """A set in an index of its own.

    Attributes:
        labelled: The set.
        engine: Embeds its questions.
        documents: The document that each chunk is of, by the chunk's id.
        files: Its path, likewise.
    """

    labelled: LabelledSet
    engine: Engine
    corpora: Corpora
    shards: Shards
    documents: Mapping[int, str]
    files: Mapping[int, str]

    def answers(self) -> list[Answer]:
        """Search for every question on both sides."""
        return [self._answer(each) for each in self.labelled.questions]

    def worth(self, answers: Sequence[Answer], rank: Rank) -> float:
        """Return the mean nDCG@10 of a way to rank what was found."""
        asked = zip(self.labelled.questions, answers, strict=True)
        return fmean(ndcg(self._found(rank(a)), self.labelled.grades[q.id]) for q, a in asked)

    def coherent(self, answer: Answer) -> Ranking:
        """Rank as a router does, and have the best chunk of a file gain by its others."""
        found = hybrid(answer)
        scores = found.scores.copy()
        best: dict[str, int] = {}
        for place, number in enumerate(found.ids[:_COHERENT].tolist()):
            first = best.setdefault(self.files[number], place)
            if first != place:
                scores[first] += COHERENCE * max(found.scores[place], 0)
        return ranked(found.ids, scores, MOST)

    def _found(self, ranking: Ranking) -> list[str]:
        return list(dict.fromkeys(self.documents[number] for number in ranking.ids.tolist()))

    def _answer(self, asked: Question) -> Answer:
        within = Filter((f"/{asked.repo}/",) if asked.repo else ())
        request = SearchRequest(asked.text, Mode.HYBRID, MOST, (), within, None, 60.0)
        plan = make_plan(self.corpora, request)
        wish = wish_of(asked.text)
        vector = self.engine.embed([asked.text], "query")[0]
        terms = weigh_query(asked.text, plan.generations)
        query = ShardQuery(vector, terms, within, depth_for(MOST), 0, 0, wish=wish)
        shard = plan.generations[0].manifest.shard(0)
        return self.shards.search(shard, (query,))[0], wish


@contextmanager
def indexed(labelled: LabelledSet, model: str) -> Iterator[Indexed]:
    """Index a set while the block lasts."""
    card = describe(model)
    engine = open_engine(card, threads=2)
    documents = cut(labelled.documents)
    chunks = [
        Chunk(c.path, c.start_line, c.end_line, c.language, c.symbol, c.text, c.signature)
        for c in documents.chunks
    ]
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        storage = Storage(folder)
        block = chunk_block(COLLECTION, chunks, [""] * len(chunks))
        texts = block.texts
        starts = range(0, len(texts), _AT_ONCE)
        vectors = [engine.embed(texts[at : at + _AT_ONCE], "document") for at in starts]
        segment = write_segment(storage, COLLECTION, [block], vectors)
        catalog = Catalog(storage)
        manifest = catalog.new(COLLECTION, card.fingerprint, 1, "")
        catalog.publish(replace(manifest, shards=((segment,),)))
        owners = [documents.owners[chunk.path, chunk.start_line] for chunk in chunks]
        ids = chunk_ids(COLLECTION, chunks)
        files = dict(zip(ids, (chunk.path for chunk in chunks), strict=True))
        yield Indexed(
            labelled,
            engine,
            Corpora(storage),
            Shards(storage),
            dict(zip(ids, owners, strict=True)),
            files,
        )


def hybrid(answer: Answer, kind: QueryKind | None = None) -> Ranking:
    """Rank as a router does."""
    found, wish = answer
    return best_of(Mode.HYBRID, [("", found)], MOST, replace(wish, kind=kind or wish.kind)).ranking


def by_ranks(answer: Answer) -> Ranking:
    """Rank by reciprocal ranks, both sides alike."""
    return _summed(answer, lambda side: 1 / (_RRF_K + 1 + np.arange(len(side.ids))))


def by_spread(answer: Answer) -> Ranking:
    """Rank by the sum of scores, each side's in units of its standard deviation."""
    return _summed(
        answer, lambda side: (side.scores - side.scores.mean()) / (side.scores.std() or 1.0)
    )


def _summed(answer: Answer, scores_of: Callable[[Ranking], NDArray[np.float64]]) -> Ranking:
    sides = (answer[0].dense, answer[0].lexical)
    ids = np.union1d(*(side.ids for side in sides))
    scores = np.zeros(len(ids))
    for side in filter(lambda side: len(side.ids), sides):
        scores[np.searchsorted(ids, side.ids)] += scores_of(side)
    return ranked(ids, scores, MOST)


@contextmanager
def replaced(module: ModuleType, **names: object) -> Iterator[None]:
    """Have names of a module mean something else while the block lasts."""
    before = {name: getattr(module, name) for name in names}
    for name, value in names.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def changed(**constants: object) -> Rank:
    """Rank with other constants of `fusion`."""

    def rank(answer: Answer) -> Ranking:
        with replaced(fusion, **constants):
            return hybrid(answer)

    return rank


def without(part: str) -> Rank:
    """Rank without a part that a chunk's place and text tell."""
    weights = fusion._WEIGHTS.copy()
    weights[SHARES.index(part)] = 0
    return changed(_WEIGHTS=weights)


def weighed(factor: float) -> Rank:
    """Rank with another weight of meaning."""
    return changed(DENSE_WEIGHT={k: w * factor for k, w in fusion.DENSE_WEIGHT.items()})


RANKS: dict[str, Rank] = {
    "meaning alone": lambda answer: answer[0].dense,
    "words alone": lambda answer: answer[0].lexical,
    "as it is": hybrid,
    "by reciprocal ranks": by_ranks,
    "by scores in units of their spread": by_spread,
    "without all that place and text tell": changed(_WEIGHTS=np.zeros(len(SHARES)), NEAR_COPY=0.0),
    **{f"without {part}": without(part) for part in SHARES},
    "without near_copy": changed(NEAR_COPY=0.0),
    "every query as prose": lambda answer: hybrid(answer, QueryKind.PROSE),
    "meaning weighs the same at every length": changed(LEAST_MEANING=1.0, MOST_MEANING=1.0),
    "meaning weighs 0.7 times": weighed(0.7),
    "meaning weighs 1.4 times": weighed(1.4),
}
WORDS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "with function words": (question, {"FUNCTION_WORDS": frozenset()}),
    "without forms": (weighing, {"forms": lambda _term: []}),
    "forms weigh 0.25": (weighing, {"FORM_WEIGHT": 0.25}),
    "forms weigh 1": (weighing, {"FORM_WEIGHT": 1.0}),
}


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "ablation.json")
    parse.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    given = parse.parse_args()
    sets = read_sets([eval_folder()])
    report.write(given.out, {name: measure(sets, MODELS[name]()) for name in given.models})


def measure(sets: Sequence[LabelledSet], model: str) -> dict[str, dict[str, float]]:
    """Return what each way to rank is worth on each set, and the mean of all."""
    found: dict[str, dict[str, float]] = {}
    for labelled in sets:
        with indexed(labelled, model) as here:
            for name, worth in _worths(here).items():
                found.setdefault(name, {})[labelled.name] = round(worth, 4)
        print(model, labelled.name, {name: row[labelled.name] for name, row in found.items()})
    return {name: {**row, "mean": round(fmean(row.values()), 4)} for name, row in found.items()}


def _worths(here: Indexed) -> dict[str, float]:
    answers = here.answers()
    worths = {name: here.worth(answers, rank) for name, rank in RANKS.items()}
    worths["with coherence of files"] = here.worth(answers, here.coherent)
    for name, (module, names) in WORDS.items():
        with replaced(module, **names):
            answers = here.answers()
        worths[name] = here.worth(answers, hybrid)
        worths[f"words alone, {name}"] = here.worth(answers, RANKS["words alone"])
    return worths


if __name__ == "__main__":
    main()
