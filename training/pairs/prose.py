"""Documentation: headings with their sections, and sentences with the rest of their section."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath

from training.pairs.pair import Pair, is_query, make_pair, one_line, shorten

ENDINGS = (".md", ".markdown", ".rst", ".txt", ".html", ".htm", ".pod")
"""Ends of the names of files that hold prose; of `.txt` and `.rst`, those with headings."""

Section = tuple[str, str, str]
"""The heading above, the heading, and the text below it."""

_MARKDOWN = re.compile(r"^(#{1,5})[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_UNDERLINED = re.compile(
    r"^(?P<title>\S.{2,90})\n(?P<line>([=\-~^\"'`*+#])\3{2,})[ \t]*$", re.MULTILINE
)
_POD = re.compile(r"^=head([1-4])[ \t]+(.+)$", re.MULTILINE)
_HTML = re.compile(r"<h([1-5])\b[^>]*>(.*?)</h\1>", re.DOTALL | re.IGNORECASE)
_UNSEEN = re.compile(
    r"<(script|style|nav|head|footer|svg)\b.*?</\1>|<!--.*?-->|<a\b[^>]*>(?:¶|#|&para;|&#182;)</a>",
    re.DOTALL | re.IGNORECASE,
)
_BREAKS = re.compile(r"</?(?:p|li|tr|dt|dd|pre|div|br|table|h\d)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{1,500}>")
_NUMBER = re.compile(
    r"^(?i:chapter|section|appendix)?[ \t]*(?:\d{1,3}(?:\.\d+)*|[A-Z](?:\.\d+)+)[.:]?\s+(?=\w)"
)
_LINK = re.compile(
    r"!?\[([^\]\n]*)\]\([^)\n]*\)|:[\w:+-]+:`~?([^`<]*?)(?: ?<[^`>]*>)?`|[BCFILX]<([^<>\n]*)>"
)
_DIRECTIVE = re.compile(r"^[ \t]*(?:\.\. .*|:[\w ]+:.*|=[a-z]+\b.*|```.*)$\n?", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_FEWEST_SECTION = 120  # characters
_FEWEST_HEADING = 2  # words of a heading that says enough alone
_SENTENCE_WORDS = range(6, 36)
_FEWEST_SENTENCES = 3
_NO_HEADING = re.compile(
    r"^(?:table of contents|contents|index|navigation|see also|references|license|copyright)$", re.I
)


def pairs_of_prose(text: str, path: str, source: str) -> Iterator[Pair]:
    """Yield the pairs of one document, whose format its name tells."""
    chance = random.Random(f"{source}/{path}")  # noqa: S311 - the same pairs each time
    for above, heading, body in sections(text, PurePath(path).suffix.lower()):
        if len(body) < _FEWEST_SECTION or _NO_HEADING.match(heading):
            continue
        wanted = heading
        if len(heading.split()) < _FEWEST_HEADING or chance.random() < 0.3:  # noqa: PLR2004
            wanted = f"{above} {heading}".strip()
        found = [make_pair("heading", source, wanted, body, fewest_words=2)]
        found.append(cloze("prose", source, heading, body, chance))
        yield from filter(None, found)


def cloze(kind: str, source: str, heading: str, body: str, chance: random.Random) -> Pair | None:
    """Take one sentence out of a text: the rest is what it asks for (Lee et al. 2019)."""
    sentences = _SENTENCE.split(one_line(shorten(body, 3_000)))
    fit = [s for s in sentences if len(s.split()) in _SENTENCE_WORDS and is_query(s, 4)]
    if len(sentences) < _FEWEST_SENTENCES or not fit:
        return None
    taken = chance.choice(fit)
    rest = " ".join(s for s in sentences if s != taken)
    return make_pair(kind, source, taken, f"{heading}\n{rest}")


def sections(text: str, ending: str) -> Iterator[Section]:
    """Yield the sections of a document in Markdown, reStructuredText, HTML or POD."""
    if ending in {".html", ".htm"}:
        yield from _sections_of_html(text)
        return
    pattern, depth_of = _MARKDOWN, _depth_of_marks
    if ending == ".pod":
        pattern, depth_of = _POD, _depth_of_number
    elif ending in {".rst", ".txt"}:
        pattern, depth_of = _UNDERLINED, _depth_of_line
    yield from _between(list(pattern.finditer(text)), text, depth_of)


def _depth_of_marks(match: re.Match[str]) -> tuple[int, str]:
    return len(match[1]), match[2]


def _depth_of_number(match: re.Match[str]) -> tuple[int, str]:
    return int(match[1]), match[2]


def _depth_of_line(match: re.Match[str]) -> tuple[int, str]:
    return "=-~^\"'`*+#".index(match["line"][0]), match["title"]


def _between(
    headings: Sequence[re.Match[str]],
    text: str,
    depth_of: Callable[[re.Match[str]], tuple[int, str]],
) -> Iterator[Section]:
    """Pair each heading with what stands before the next, and with the heading above it."""
    above: dict[int, str] = {}
    for number, match in enumerate(headings):
        end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
        depth, title = depth_of(match)
        heading = plain(title)
        upper = [above[d] for d in sorted(above) if d < depth]
        above = {d: t for d, t in above.items() if d < depth} | {depth: heading}
        yield (upper[-1] if upper else ""), heading, plain(text[match.end() : end])


def plain(text: str) -> str:
    """Return Markdown, reStructuredText or POD without links, roles and directives."""
    kept = _DIRECTIVE.sub("", text)
    return _LINK.sub(lambda link: next(filter(None, link.groups()), ""), kept).strip()


def _sections_of_html(text: str) -> Iterator[Section]:
    seen = _UNSEEN.sub(" ", text)
    found = _between(list(_HTML.finditer(seen)), seen, _depth_of_number)
    for above, heading, body in found:
        yield _untagged(above), _untagged(heading), _untagged(body)


def _untagged(text: str) -> str:
    broken = _BREAKS.sub("\n", text)
    bare = html.unescape(_TAG.sub("", broken)).replace("¶", "")
    lines = (line.strip() for line in bare.split("\n"))
    joined = "\n".join(line for line in lines if line)
    return _NUMBER.sub("", joined, count=1) if "\n" not in joined else joined
