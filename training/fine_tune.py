"""Make the built-in model: gather, distil, choose the word pieces, and learn from the pairs.

python -m training.fine_tune [--output actors/engines/builtin] [--work .training]
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file

from actors.engines import registry
from actors.engines.static import CONFIG, REPEATS, SPLITS, TOKENIZER, WEIGHTS
from training import distill, gather, learn
from training.card import write_card
from training.clusters import clusters_of
from training.encode import encode
from training.evaluate import mean_reciprocal_rank
from training.learn import DeviceBags, Lessons, Settings
from training.mixture import mix
from training.pairs.pair import Pair, shorten
from training.teacher import Teacher
from training.vocabulary import Vocabulary, choose, count_words

logger = logging.getLogger("shoal.training")

OUTPUT = distill.OUTPUT
WORK = gather.HERE.parent / ".training"
MOST_BYTES = 8_000_000  # the whole folder: small enough to ship inside the package
BYTES_OF_A_PIECE = 16  # in tokenizer.json, with what else is in the folder
ADDED_WORDS = 2_000
MOST_PAIRS = 200_000
MOST_PASSAGE = 560  # characters that are learnt from: what the teacher reads of one
TAUGHT = 60_000  # pairs whose texts the teacher reads, at some 60 texts a second and core
SETTINGS = Settings()
SEED = 0
_OUTLIERS = 1e-4  # share of a table's numbers that int8 cuts off
_HELD_OUT = 1_500  # pairs of each kind that the result is measured with


def make(work: Path, output: Path) -> None:
    """Make the model in `output`, with what it is made from in `work`.

    Raises:
        ValueError: The folder came out larger than `MOST_BYTES`.
    """
    started = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    teacher = distill.teacher_folder()
    base = read_base(distill.make(teacher, work / "base"))
    logger.info("%5.0f s  distilled", time.monotonic() - started)
    file = work / "pairs.jsonl.gz"
    gathered = gather.read(file if file.exists() else gather.gather(work))
    pairs = mix([pair for pair in gathered if not gather.is_held_out(pair)], MOST_PAIRS)
    logger.info("%5.0f s  gathered %s pairs", time.monotonic() - started, f"{len(pairs):,}")
    rows = (MOST_BYTES // (base.table.shape[1] + BYTES_OF_A_PIECE)) - 200
    words = count_words(text for pair in pairs for text in (pair.query, pair.passage))
    vocabulary = choose(base, words, rows, ADDED_WORDS)
    courses = courses_of(pairs, vocabulary, Teacher(teacher, "cpu"))
    logger.info("%5.0f s  encoded and taught", time.monotonic() - started)
    learnt = learn.learn(vocabulary.table, courses, SETTINGS, seed=SEED, on_epoch=_log_epoch)
    write_model(vocabulary, quantised(sorted_by_weight(learnt)), output)
    logger.info("%5.0f s  learnt", time.monotonic() - started)
    log_held_out(output, [pair for pair in gathered if gather.is_held_out(pair)])
    size = sum(path.stat().st_size for path in output.iterdir())
    if size > MOST_BYTES:
        raise ValueError(f"{output} holds {size:,} bytes, over {MOST_BYTES:,}")


def read_base(folder: Path) -> Vocabulary:
    """Read a distilled folder back, as floating-point numbers."""
    table = load_file(folder / WEIGHTS)["embeddings"].astype(np.float32)
    return Vocabulary(json.loads((folder / TOKENIZER).read_text(encoding="utf-8")), table)


def courses_of(pairs: Sequence[Pair], vocabulary: Vocabulary, teacher: Teacher) -> list[Lessons]:
    """Encode all pairs; the teacher reads the first `TAUGHT` of them, by chance."""
    shuffled = random.Random(SEED).sample(pairs, len(pairs))  # noqa: S311 - the same each time
    taught, others = shuffled[:TAUGHT], shuffled[TAUGHT:]
    courses = [_lessons(taught, vocabulary, teacher)]
    return [*courses, _lessons(others, vocabulary, None)] if others else courses


def _lessons(pairs: Sequence[Pair], vocabulary: Vocabulary, teacher: Teacher | None) -> Lessons:
    tokenizer = json.dumps(vocabulary.tokenizer)
    halves = [p.query for p in pairs], [shorten(p.passage, MOST_PASSAGE) for p in pairs]
    queries, passages = (DeviceBags(encode(tokenizer, texts), "cpu") for texts in halves)
    if teacher is None:
        return Lessons(queries, passages, None, None, groups_of(pairs))
    asked, answers = (torch.from_numpy(teacher.embed(texts)) for texts in halves)
    return Lessons(queries, passages, asked, answers, clusters_of(answers, SEED))


def groups_of(pairs: Sequence[Pair]) -> npt.NDArray[np.int64]:
    """Number the pairs' packages and kinds: texts of one are harder to tell apart."""
    names: dict[tuple[str, str], int] = {}
    return np.array([names.setdefault((p.kind, p.source), len(names)) for p in pairs])


def sorted_by_weight(table: learn.Vectors) -> learn.Vectors:
    """Turn all vectors alike: the first numbers carry most, and the last may be cut off."""
    _, directions = np.linalg.eigh(table.T @ table)
    turned: learn.Vectors = table @ directions[:, ::-1]
    return turned


def quantised(table: learn.Vectors) -> npt.NDArray[np.int8]:
    """Round to int8 with one scale for the whole table: a mean of rows hides the error."""
    scale = np.quantile(np.abs(table), 1 - _OUTLIERS) / 127
    return np.clip(np.rint(table / scale), -127, 127).astype(np.int8)


def write_model(vocabulary: Vocabulary, table: npt.NDArray[np.int8], output: Path) -> None:
    """Write the folder in model2vec's format, with the keys that tell how to read and count."""
    output.mkdir(parents=True, exist_ok=True)
    save_file({"embeddings": table}, output / WEIGHTS)
    (output / WEIGHTS).chmod(0o644)  # as other files; it comes with 0600
    vocabulary.save(output / TOKENIZER)
    config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "tokenizer_name": distill.TEACHER_NAME,
        "apply_pca": table.shape[1],
        "hidden_dim": table.shape[1],
        "normalize": True,
        "pooling": "mean",
        "max_length": 512,
        "embedding_dtype": "int8",
        SPLITS: True,
        REPEATS: SETTINGS.power,
    }
    (output / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    write_card(output)


def log_held_out(folder: Path, pairs: Sequence[Pair]) -> None:
    """Tell how often the engine finds the passages of pairs that were not learnt from, by kind."""
    engine = registry.open_engine(registry.describe(f"static:{folder.resolve()}"))
    by_kind: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_kind[pair.kind].append(pair)
    for kind, found in sorted(by_kind.items()):
        queries = engine.embed([pair.query for pair in found[:_HELD_OUT]], "query")
        passages = engine.embed([pair.passage for pair in found[:_HELD_OUT]], "document")
        logger.info("MRR@10 %.3f  %s", mean_reciprocal_rank(queries, passages), kind)


def _log_epoch(epoch: int, loss: float) -> None:
    logger.info("epoch %2d  loss %.4f", epoch + 1, loss)


def main() -> None:
    """Make the model and log the steps."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Make the built-in static embedding model.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=WORK, help="folder (default: %(default)s)")
    options = parser.parse_args()
    make(options.work, options.output)


if __name__ == "__main__":
    main()
