"""What a query asks for: the terms that tell something, their other forms, and what it names.

Postings hold words as they are written, so that names are found exactly. A question in prose is
helped at query time: words that stand in every text say nothing, and "retries" is about "retry".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise

from actors.index.tokens import split_word, terms, words
from actors.message import Message

FORM_WEIGHT = 0.5
"""Of another form of a word, beside the word itself."""
_SHORTEST = 4
"""Letters of a word that is inflected."""
_INFLECTED = re.compile(rf"[a-z]{{{_SHORTEST},}}")
_VOWEL = re.compile("[aeiouy]")
_NO_PAST = re.compile("(?:emb|.*e)ed")
""""embed", "need", "speed": what they end in is no ending."""
_NOT_DOUBLED = "lsz"
""""fill", "pass", "buzz" end in two letters by themselves."""
_CACHED = 1 << 14

FUNCTION_WORDS = frozenset(
    """\
a am an and any are as at be been being but by can could did do does for from had has have he her
his how i if in into is it its me might must my no nor not of on or our shall she should so such
than that the their them then there these they this those to us was we were what when where which
while who whom whose why will with would you your
""".split()  # noqa: SIM905 - a page of quotes
)
"""They say what kind of sentence it is, not what it is about. In code they are rare, so that BM25
would take them for telling."""

_NAME = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|->|#)[A-Za-z_$][\w$]*)*(?:\(\))?")
_NAME_IN_PROSE = re.compile(
    r"`([^`\s]+)`"
    r"|(?<![\w.])((?:\w+(?:\.|::))*(?:\w+(?=\(\))"
    r"|[a-z]+[A-Z]\w*|[A-Z][a-z0-9]+[A-Z]\w*|[A-Z]{2,}[a-z]\w*|_*[A-Za-z]\w*_\w+))"
)
"""In backticks, called, or with a capital or an underscore where prose has none."""
_PATH = re.compile(r"[\w.@~+-]*(?:/[\w.@~+-]+)+/?|[\w-]+\.[a-z]{1,5}")
_FILE = re.compile(
    r"\.(?:bash|c|cc|cfg|conf|cpp|cs|css|go|h|hpp|html|ini|java|js|json|jsx|kt|lua|md|mjs|php|proto"
    r"|py|pyi|rb|rs|rst|scala|sh|sql|swift|toml|ts|tsx|txt|xml|yaml|yml)$"
)
_QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”')
_ASIDE_WORDS = frozenset(
    """\
benchmark benchmarks demo deprecated example examples fixture fixtures generated legacy mock mocks
sample spec test testing tests vendor vendored
""".split()  # noqa: SIM905 - a page of quotes
)


class QueryKind(StrEnum):
    """What a query is: prose is weighed by meaning and words, the others more by words."""

    PROSE = "prose"
    NAME = "name"
    PATH = "path"
    PHRASE = "phrase"


@dataclass(frozen=True, slots=True)
class Wish(Message):
    """What a query asks for beside its meaning and its words.

    Attributes:
        kind: What it is as a whole.
        stems: Those of its telling words.
        neighbours: Each two such words that follow one another in it, in the order of letters.
        names: Identifiers in it, as they are written there.
        phrases: What it quotes: lower case, single blanks.
        aside: Whether it asks for tests, examples, generated code; else those stand back.
    """

    kind: QueryKind = QueryKind.PROSE
    stems: frozenset[str] = frozenset()
    neighbours: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    aside: bool = False


def telling_terms(query: str) -> Counter[str]:
    """Return how often each term stands in a query, without function words beside others."""
    counts = Counter(terms(query))
    telling = Counter({term: n for term, n in counts.items() if term not in FUNCTION_WORDS})
    return telling or counts


def forms(term: str) -> list[str]:
    """Return other forms of an English word, as far as regular endings go; some are no words."""
    if not _INFLECTED.fullmatch(term):
        return []
    base = stem(term)
    endings = ["", "e", "s", "es", "ed", "ing", f"{base[-1]}ed", f"{base[-1]}ing"]
    made = [f"{base}{ending}" for ending in endings]
    if base.endswith("y"):
        made += [f"{base[:-1]}ies", f"{base[:-1]}ied"]
    return [form for form in dict.fromkeys(made) if form != term and stem(form) == base]


@lru_cache(_CACHED)
def stem(word: str) -> str:
    """Return what a lower-case word has in common with its plural, its past, its participle."""
    if not _INFLECTED.fullmatch(word) or _NO_PAST.fullmatch(word):
        return word
    for ending, instead in (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", "")):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= _SHORTEST - 1 and _VOWEL.search(rest):
            return _undoubled(rest) if ending in ("ing", "ed") else rest + instead
    word = word[:-1] if word[-1] == "s" and word[-2] != "s" else word
    return word.removesuffix("e") if len(word) >= _SHORTEST else word


@lru_cache(_CACHED)
def stems_of(text: str) -> frozenset[str]:
    """Return the stems of a text's words; identifiers in their parts."""
    split = map(split_word, words(text))
    parts = (part for whole, *rest in split for part in rest or [whole])
    return frozenset(stem(part) for part in parts if part not in FUNCTION_WORDS)


def wish_of(query: str) -> Wish:
    """Return what a query asks for beside its meaning and its words."""
    bare = query.strip()
    telling = telling_terms(query)
    kind = _kind(bare)
    if kind is QueryKind.NAME:
        names: Iterable[str] = (bare,)
    else:
        names = (quoted or found for quoted, found in _NAME_IN_PROSE.findall(query))
    phrases = (" ".join((a or b).lower().split()) for a, b in _QUOTED.findall(query))
    return Wish(
        kind,
        frozenset(map(stem, telling)),
        _neighbours(query, telling),
        tuple(dict.fromkeys(name.removesuffix("()") for name in names)),
        tuple(filter(None, phrases)),
        not _ASIDE_WORDS.isdisjoint(telling),
    )


def _neighbours(query: str, telling: Container[str]) -> tuple[tuple[str, str], ...]:
    said = [term for term in terms(query) if term in telling]
    return tuple(dict.fromkeys((min(two), max(two)) for two in pairwise(said) if two[0] != two[1]))


def _kind(query: str) -> QueryKind:
    if _PATH.fullmatch(query) and ("/" in query or _FILE.search(query)):
        return QueryKind.PATH
    if _NAME.fullmatch(query):
        return QueryKind.NAME
    return QueryKind.PHRASE if _QUOTED.search(query) else QueryKind.PROSE


def _undoubled(rest: str) -> str:
    twice = len(rest) >= _SHORTEST and rest[-1] == rest[-2] and rest[-1] not in _NOT_DOUBLED
    return rest[:-1] if twice else rest
