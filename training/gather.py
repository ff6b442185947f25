"""Gather the pairs: fetch the packages, read them, leave out what may not be trained on.

python -m training.gather --work .training        writes .training/pairs.jsonl.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from multiprocessing import Pool
from pathlib import Path, PurePath

from training import archives, exclusion
from training.pairs import asking
from training.pairs.braces import LANGUAGES, pairs_of_code
from training.pairs.pair import Pair
from training.pairs.prose import ENDINGS, pairs_of_prose
from training.pairs.python import pairs_of_python
from training.pairs.reference import (
    pairs_of_descriptions,
    pairs_of_dictionary,
    pairs_of_manual,
    pairs_of_wordnet,
)

logger = logging.getLogger("shoal.training")

HERE = Path(__file__).resolve().parent
MOST_OF_A_SOURCE = 5_000  # pairs of one kind: no package decides what a word means
MOST_OF_A_QUERY = 2  # "Constructor." asks for nothing
SEED = 0
_VENDORED = ("/_vendor/", "/vendor/", "/third_party/", "/locale/", "/node_modules/")


def pairs_of_archive(archive: Path) -> list[Pair]:
    """Read one package's pairs, at most `MOST_OF_A_SOURCE` of each kind, by chance."""
    source = archives.name_of(archive)
    by_kind: dict[str, list[Pair]] = defaultdict(list)
    for path, text in archives.files_of(archive):
        if not any(part in path for part in _VENDORED) and not _excluded(path):
            for pair in pairs_of_file(path, text, source):
                by_kind[pair.kind].append(pair)
    chance = random.Random(source)  # noqa: S311 - the same pairs each time
    kept = []
    for pairs in by_kind.values():
        chance.shuffle(pairs)
        kept += pairs[:MOST_OF_A_SOURCE]
    return kept


def pairs_of_file(path: str, text: str, source: str) -> Iterator[Pair]:
    """Read one file's pairs, by what its name says it is."""
    ending = PurePath(path).suffix.lower()
    if ending in {".py", ".pyx"}:
        yield from pairs_of_python(text, source)
    elif "/share/man/man" in path:
        yield from pairs_of_manual(text, path, source)
    elif ending in LANGUAGES and "\n" in text[:2_000]:
        yield from pairs_of_code(text, path, source)
        if ending in {".pl", ".pm"}:
            yield from pairs_of_prose(text, f"{path}.pod", source)
    elif path.endswith(".dist-info/METADATA"):
        yield from pairs_of_prose(text, f"{path}.md", source)
    elif ending in ENDINGS:
        yield from pairs_of_prose(text, path, source)


def pairs_of_references(folder: Path) -> Iterator[Pair]:
    """Read the dictionaries and descriptions, which are not files of text in their packages."""
    for index in sorted((folder / "unpacked").rglob("*.index")):
        yield from pairs_of_dictionary(index, f"dict-{index.stem}")
    yield from pairs_of_wordnet(folder / "unpacked", "wordnet")
    for file in sorted((folder / "debian" / archives.TRANSLATIONS).glob("*Translation-en")):
        yield from pairs_of_descriptions(file.read_text(encoding="utf-8"), "debian")


def admit(pairs: Iterable[Pair], excluded: exclusion.Hashes) -> Iterator[Pair]:
    """Leave out repeats, and pairs that a retrieval set holds half of."""
    asked: Counter[str] = Counter()
    answers: set[str] = set()
    left_out = 0
    for pair in pairs:
        key = pair.query.lower()
        is_repeat = pair.passage in answers and pair.kind != "prose"
        if asked[key] >= MOST_OF_A_QUERY or is_repeat:
            continue
        if exclusion.occurs((pair.query, pair.passage), excluded):
            left_out += 1
            continue
        asked[key] += 1
        answers.add(pair.passage)
        yield asking.asked(pair)
    logger.info("excluded  %s pairs, whose texts stand in a retrieval set", f"{left_out:,}")


def gather(work: Path) -> Path:
    """Write all pairs, shuffled, as JSON Lines, and return the file."""
    found = archives.fetch(archives.read_sources(HERE / "sources.txt"), work)
    allowed = [a for a in found if not exclusion.is_excluded_package(archives.name_of(a))]
    _unpack_references(work)
    with Pool() as processes:
        read = processes.imap(pairs_of_archive, allowed)
        pairs = [pair for pairs in read for pair in pairs]
    pairs += pairs_of_references(work)
    random.Random(SEED).shuffle(pairs)  # noqa: S311 - the same order each time
    admitted = list(admit(pairs, exclusion.read()))
    for kind, count in Counter(pair.kind for pair in admitted).most_common():
        logger.info("%8s  %s", f"{count:,}", kind)
    return write(admitted, work / "pairs.jsonl.gz")


def write(pairs: Iterable[Pair], file: Path) -> Path:
    """Write pairs as gzipped JSON Lines."""
    with gzip.open(file, "wt", compresslevel=3, encoding="utf-8") as lines:
        for pair in pairs:
            lines.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")
    return file


def read(file: Path) -> list[Pair]:
    """Read what `write` wrote."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [Pair(**json.loads(line)) for line in lines]


def is_held_out(pair: Pair) -> bool:
    """Tell whether a pair is for choosing and not for training: whole packages, and some prose."""
    source, query = zlib.crc32(pair.source.encode()), zlib.crc32(pair.query.encode())
    return source % 40 == 0 or query % 100 == 0


def _excluded(path: str) -> bool:
    return any(exclusion.is_excluded_package(part) for part in PurePath(path).parts)


def _unpack_references(work: Path) -> None:
    for archive in sorted((work / "debian").glob("*.deb")):
        if archives.name_of(archive).startswith(("dict-", "wordnet-base")):
            archives.unpack(archive, work / "unpacked")


def main() -> None:
    """Gather into a folder of work."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Gather the pairs that the model learns from.")
    parser.add_argument("--work", type=Path, default=HERE.parent / ".training")
    logger.info("wrote     %s", gather(parser.parse_args().work))


if __name__ == "__main__":
    main()
