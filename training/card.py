"""The model's card: what the folder holds, how it was made, and how good it is.

python -m training.card [FOLDER]
"""

from __future__ import annotations

import hashlib
import json
import string
import sys
from pathlib import Path

from safetensors.numpy import load_file

from actors.engines.static import WEIGHTS

HERE = Path(__file__).resolve().parent


def sha256(path: Path) -> str:
    """Return the hex sha256 of one file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(folder: Path) -> None:
    """Fill training/model_card.md and write it as the model's README.md."""
    template = string.Template((HERE / "model_card.md").read_text(encoding="utf-8"))
    weights = folder / WEIGHTS
    tokens, dimensions = load_file(weights)["embeddings"].shape
    card = template.substitute(
        tokens=f"{tokens:,}",
        dimensions=dimensions,
        weights_bytes=f"{weights.stat().st_size:,}",
        weights_sha256=sha256(weights),
        quality=quality_table(sha256(weights)),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def quality_table(weights_sha256: str) -> str:
    """Markdown rows of quality.json, or a line saying that these weights were not measured."""
    path = HERE / "quality.json"
    quality = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if quality.get("weights_sha256") != weights_sha256:
        return "Not measured for these weights: see training/README.md."
    rows = [
        f"| {name} | {score['queries']:,} | {score['documents']:,} | {score['ndcg@10']:.3f} |"
        for name, score in quality["sets"].items()
    ]
    return "\n".join(["| set | queries | documents | nDCG@10 |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    write_card(Path(sys.argv[1]) if sys.argv[1:] else HERE.parent / "actors/engines/builtin")
