"""Score a static embedding model on retrieval sets: nDCG@10 with exact cosine search.

    python -m training.score FOLDER_OF_EVAL_SETS MODEL_FOLDER > training/quality.json

Texts are embedded by Shoal's own engine.

Of the sets below the folder (`cluster/evaluation/labelled.py` says what a set is), those are scored
that `--sets` names: all by default.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from actors.engines import registry
from actors.engines.base import Engine
from cluster.evaluation.labelled import LabelledSet, read_sets
from training.evaluate import mean_ndcg


def score_set(engine: Engine, labelled: LabelledSet) -> dict[str, float | int]:
    """Mean nDCG@10 over the judged queries of one set, and its sizes."""
    corpus, queries = labelled.documents, labelled.questions
    rows = {document.id: row for row, document in enumerate(corpus)}
    grades = [{rows[i]: grade for i, grade in labelled.grades[q.id].items()} for q in queries]
    documents = engine.embed([f"{d.title}\n{d.text}" for d in corpus], "document")
    similar = engine.embed([q.text for q in queries], "query") @ documents.T
    return {
        "ndcg@10": round(mean_ndcg(similar, grades), 4),
        "queries": len(queries),
        "documents": len(corpus),
    }


def main() -> None:
    """Score the model on every set and write one JSON object to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets_folder", type=Path)
    parser.add_argument("model_folder", type=Path)
    parser.add_argument("--sets", nargs="*", default=[], help="names of sets (default: all)")
    options = parser.parse_args()
    engine = registry.open_engine(registry.describe(f"static:{options.model_folder.resolve()}"))
    weights = (options.model_folder / "model.safetensors").read_bytes()
    found = read_sets([options.sets_folder / name for name in options.sets or ("",)])
    result = {
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "metric": "nDCG@10, exact cosine over title + newline + text",
        "sets": {each.name: score_set(engine, each) for each in found},
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
