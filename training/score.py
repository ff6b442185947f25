"""Score a static embedding model on retrieval sets: nDCG@10 with exact cosine search.

    python -m training.score FOLDER_OF_EVAL_SETS MODEL_FOLDER > training/quality.json

Texts are embedded by Shoal's own engine.

A set is a folder with `corpus.jsonl` (id, title, text), `queries.jsonl` (id, text) and `qrels.tsv`
(query-id, doc-id, relevance; one header line). Every subfolder that holds the three files and is
named on the command line (`--sets`, all by default) is scored.
"""

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path

from actors.engines import registry
from actors.engines.base import Engine
from training.evaluate import mean_ndcg

Relevance = dict[str, dict[str, float]]


def read_records(path: Path) -> list[dict[str, str]]:
    """Read a JSON Lines file, one object a line."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def read_relevance(path: Path) -> Relevance:
    """Read `qrels.tsv` into {query id: {document id: relevance}}; the first line is a header."""
    relevance: Relevance = defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        relevance[query][document] = float(grade)
    return relevance


def score_set(engine: Engine, folder: Path) -> dict[str, float | int]:
    """Mean nDCG@10 over the judged queries of one set, and its sizes."""
    corpus = read_records(folder / "corpus.jsonl")
    relevance = read_relevance(folder / "qrels.tsv")
    queries = [q for q in read_records(folder / "queries.jsonl") if q["id"] in relevance]
    rows = {d["id"]: row for row, d in enumerate(corpus)}
    grades = [{rows[i]: grade for i, grade in relevance[q["id"]].items()} for q in queries]
    documents = engine.embed([f"{d.get('title', '')}\n{d['text']}" for d in corpus], "document")
    similar = engine.embed([q["text"] for q in queries], "query") @ documents.T
    return {
        "ndcg@10": round(mean_ndcg(similar, grades), 4),
        "queries": len(queries),
        "documents": len(corpus),
    }


def find_sets(root: Path, names: list[str]) -> list[Path]:
    """The folders of the named sets, or of every complete set under root, sorted by name."""
    if names:
        return [root / name for name in names]
    return sorted(path.parent for path in root.glob("*/qrels.tsv"))


def main() -> None:
    """Score the model on every set and write one JSON object to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets_folder", type=Path)
    parser.add_argument("model_folder", type=Path)
    parser.add_argument("--sets", nargs="*", default=[], help="names of sets (default: all)")
    options = parser.parse_args()
    engine = registry.open_engine(registry.describe(f"static:{options.model_folder.resolve()}"))
    weights = (options.model_folder / "model.safetensors").read_bytes()
    found = find_sets(options.sets_folder, options.sets)
    result = {
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "metric": "nDCG@10, exact cosine over title + newline + text",
        "sets": {folder.name: score_set(engine, folder) for folder in found},
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
