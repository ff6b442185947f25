"""Score a static embedding model on retrieval sets: nDCG@10 with exact cosine search.

    python training/score.py FOLDER_OF_EVAL_SETS MODEL_FOLDER > training/quality.json

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

import numpy as np
import numpy.typing as npt
from model2vec import StaticModel

DEPTH = 10  # nDCG@10, the figure retrieval papers report

Vectors = npt.NDArray[np.float32]
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


def embed(model: StaticModel, texts: list[str]) -> Vectors:
    """Embed texts to float32 [len(texts), dimension] with unit rows."""
    return np.asarray(
        model.encode(texts, normalize=True, use_multiprocessing=False), dtype=np.float32
    )


def ndcg(ranked: list[str], grades: dict[str, float]) -> float:
    """Normalised discounted cumulative gain at 10 (linear gain, log2 discount), 0 to 1."""
    discounts = 1.0 / np.log2(np.arange(2, DEPTH + 2))
    gains = np.array([grades.get(document, 0.0) for document in ranked[:DEPTH]])
    ideal = np.array(sorted(grades.values(), reverse=True)[:DEPTH])
    best = float(ideal @ discounts[: len(ideal)])
    return float(gains @ discounts[: len(gains)]) / best if best else 0.0


def score_set(model: StaticModel, folder: Path) -> dict[str, float | int]:
    """Mean nDCG@10 over the judged queries of one set, and its sizes."""
    corpus = read_records(folder / "corpus.jsonl")
    relevance = read_relevance(folder / "qrels.tsv")
    queries = [q for q in read_records(folder / "queries.jsonl") if q["id"] in relevance]
    documents = embed(model, [f"{d.get('title', '')}\n{d['text']}" for d in corpus])
    similar = embed(model, [q["text"] for q in queries]) @ documents.T
    order = np.argsort(-similar, axis=1, kind="stable")[:, :DEPTH]
    ids = [d["id"] for d in corpus]
    scores = [
        ndcg([ids[i] for i in row], relevance[q["id"]])
        for q, row in zip(queries, order, strict=True)
    ]
    return {
        "ndcg@10": round(float(np.mean(scores)), 4),
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
    model = StaticModel.from_pretrained(options.model_folder, force_download=False)
    weights = (options.model_folder / "model.safetensors").read_bytes()
    found = find_sets(options.sets_folder, options.sets)
    result = {
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "metric": "nDCG@10, exact cosine over title + newline + text",
        "sets": {folder.name: score_set(model, folder) for folder in found},
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
