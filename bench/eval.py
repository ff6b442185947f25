"""How good Shoal's answers are on labelled sets, in each mode, with two models; beside peers.

Shoal is asked through its client, by what `shoal eval` runs, in a gateway of its own. Needs the
sets and the model of SHOAL_SHARED.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import report
from chunks import shared_model
from eval_peers import bm25s, semble
from labelled import eval_folder
from sides import gateway

from cluster.evaluation.labelled import LabelledSet, read_sets
from cluster.evaluation.run import Evaluation, Outcome, evaluate

MODELS = {
    "builtin": lambda: "static:builtin",
    "minilm_int8": lambda: f"onnx:{shared_model('all-MiniLM-L6-v2-onnx')}",
}

_Json = dict[str, Any]


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "eval.json")
    parse.add_argument("--ranked", type=Path, default=report.RESULTS / "eval_ranked.json")
    parse.add_argument(
        "--sets", nargs="+", default=[""], help="of the shared folder; all if absent"
    )
    parse.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    given = parse.parse_args()
    report.require_peer()
    sets = read_sets(eval_folder(name) for name in given.sets)
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        figures, lists = measure(
            Path(folder), sets, {name: MODELS[name]() for name in given.models}
        )
    report.write(given.out, figures)
    given.ranked.write_text(json.dumps(lists, separators=(",", ":")) + "\n", encoding="utf-8")


def measure(work: Path, sets: Sequence[LabelledSet], models: dict[str, str]) -> tuple[_Json, _Json]:
    """Return all figures, and Shoal's ranked lists; `work` is an empty folder."""
    found: dict[str, _Json] = {}
    lists: dict[str, _Json] = {}
    spaces: dict[str, str] = {}
    with gateway(work / "root") as client:
        for each in sets:
            done = {name: evaluate(client, each, model) for name, model in models.items()}
            spaces |= {name: one.fingerprint for name, one in done.items()}
            lists[each.name] = ranked_lists(done)
            first = next(iter(done.values()))
            sizes = {"questions": first.questions, "documents": first.documents}
            shoal = {name: shoal_figures(one) for name, one in done.items()}
            found[each.name] = {**sizes, "chunks": first.chunks, "shoal": shoal}
            tell(each.name, shoal)
    for each in sets:
        peers = work / each.name
        peers.mkdir()
        found[each.name]["bm25s"] = bm25s(each, peers)
        if all(question.repo for question in each.questions):
            found[each.name]["semble"] = semble(each, peers)
        tell(each.name, {k: v for k, v in found[each.name].items() if k in {"bm25s", "semble"}})
    return {"models": spaces, "sets": found}, lists


def shoal_figures(one: Evaluation) -> _Json:
    """Return what is told of a set with a model."""
    modes = {mode: _rounded(outcome) for mode, outcome in one.modes.items()}
    return {"ingest_s": one.ingest_s, **modes}


def ranked_lists(done: dict[str, Evaluation]) -> _Json:
    """Return model → mode → question → {document: score}, best first.

    Words are found alike with every model, so that the lexical lists are those of the first.
    """
    first = next(iter(done))
    return {
        name: {
            mode: dict(_lists(outcome))
            for mode, outcome in one.modes.items()
            if mode != "lexical" or name == first
        }
        for name, one in done.items()
    }


def tell(name: str, figures: _Json) -> None:
    """Print what was measured of a set."""
    for side, told in figures.items():
        print(name, side, json.dumps(told), flush=True)


def _lists(outcome: Outcome) -> Iterator[tuple[str, dict[str, float]]]:
    for answer in outcome.answers:
        yield answer.question, {one.id: round(one.score, 4) for one in answer.documents}


def _rounded(outcome: Outcome) -> dict[str, float]:
    return {
        name: round(value, 3 if name.endswith("_ms") else 4)
        for name, value in outcome.model_dump(exclude={"answers"}).items()
    }


if __name__ == "__main__":
    main()
