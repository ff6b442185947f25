"""Works of reference: manual pages, dictionaries, and the descriptions of packages."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path

from training.pairs.pair import Pair, make_pair, one_line
from training.pairs.prose import cloze

_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ROFF = re.compile(r"^[.'](?!SH|SS|B\b|I\b|BR\b|Nm|Nd|Sh).*$\n?", re.MULTILINE)
_FONT = re.compile(r"\\f[A-Z]|\\f\(..|\\[&%|^:]|\\s[+-]?\d|\\\*\(..")
_SECTION = re.compile(r'^\.S[Hhs][ \t]+"?(.+?)"?[ \t]*$', re.MULTILINE)
_MACRO = re.compile(r"^\.(?:[BI]R?|Nm|Nd|RB|IR)[ \t]*", re.MULTILINE)
_MARKUP = re.compile(r"\[[a-z0-9]*\]|[{}]|<[^<>]*>")
_FEWEST_DESCRIPTION = 60  # characters


def pairs_of_manual(text: str, path: str, source: str) -> Iterator[Pair]:
    """Yield the pairs of one manual page: its line of purpose, its sections, its sentences."""
    chance = random.Random(f"{source}/{path}")  # noqa: S311 - the same pairs each time
    parts = _SECTION.split(text)
    named = {
        title.upper(): _unroffed(body) for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    name, _, purpose = named.pop("NAME", "").partition(" - ")
    if not purpose:
        return
    found: list[Pair | None] = []
    if "DESCRIPTION" in named:
        found.append(make_pair("manual", source, purpose, named["DESCRIPTION"]))
    for title, body in named.items():
        heading = f"{name.split(',')[0].strip()} {title.lower()}"
        found.append(make_pair("manual", source, heading, body, fewest_words=2))
        found.append(cloze("prose", source, heading, body, chance))
    yield from filter(None, found)


def _unroffed(text: str) -> str:
    kept = _MACRO.sub("", _ROFF.sub("", text))
    return _FONT.sub("", kept).replace("\\-", "-").replace("\\(aq", "'").replace('"', "").strip()


def pairs_of_wordnet(folder: Path, source: str) -> Iterator[Pair]:
    """Yield each of WordNet's synonym sets with its gloss."""
    for file in sorted(folder.rglob("data.*")):
        for line in file.read_text(encoding="latin-1").splitlines():
            head, bar, gloss = line.partition(" | ")
            fields = head.split()
            if not bar or line.startswith(" "):
                continue
            words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            names = ", ".join(word.replace("_", " ") for word in words)
            pair = make_pair("dictionary", source, names, gloss, fewest_words=1)
            if pair:
                yield pair


def pairs_of_dictionary(index: Path, source: str) -> Iterator[Pair]:
    """Yield each headword of a dictd dictionary with its entry."""
    entries = gzip.decompress(index.with_suffix(".dict.dz").read_bytes())
    for line in index.read_text(encoding="utf-8", errors="replace").splitlines():
        word, _, place = line.partition("\t")
        start, size = map(_number, place.split("\t")[:2])
        text = entries[start : start + size].decode("utf-8", errors="replace")
        entry = _MARKUP.sub("", text.partition("\n")[2])
        if not word.startswith("00-") and len(entry) >= _FEWEST_DESCRIPTION:
            pair = make_pair("dictionary", source, word, one_line(entry), fewest_words=1)
            if pair:
                yield pair


def _number(base64: str) -> int:
    value = 0
    for digit in base64:
        value = 64 * value + _BASE64.index(digit)
    return value


def pairs_of_descriptions(translations: str, source: str) -> Iterator[Pair]:
    """Yield each of Debian's packages: its line of purpose, with what the description adds."""
    chance = random.Random(source)  # noqa: S311 - the same pairs each time
    for entry in translations.split("\n\n"):
        short, _, long = entry.partition("Description-en: ")[2].partition("\n")
        body = re.sub(r"^ \.?", "", long, flags=re.MULTILINE)
        if len(body) < _FEWEST_DESCRIPTION:
            continue
        found = [make_pair("description", source, short, body)]
        found.append(cloze("prose", source, short, body, chance))
        yield from filter(None, found)
