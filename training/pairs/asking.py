"""Queries as people and agents put them: some of them become questions, or name the language."""

from __future__ import annotations

import random
from dataclasses import replace

from training.pairs.pair import MOST_QUERY, Pair

_SHARE = 0.2  # of all queries
_LANGUAGES = {
    "python": "python", "name": "python", "test": "python", "comment": "python", "c": "c++",
    "go": "go", "rust": "rust", "java": "java", "ruby": "ruby", "php": "php",
    "javascript": "javascript", "perl": "perl", "shell": "bash", "lua": "lua",
}  # fmt: skip
_CODE = (
    "how to {}", "{} in {language}", "{language} {}", "{language} how to {}", "how do I {}?",
    "what is the purpose of {}?", "what does the function do that can {}", "which function {}?",
    "where is the code that {}?", "how does the code {}?",
)  # fmt: skip
_TITLES = (
    "how to {}?", "what is {}?", "how does {} work?", "what are {}?", "explain {}",
    "how can you use {}?", "why {}?",
)  # fmt: skip
_MOST_WORDS = 20  # of what can be asked in one question


def asked(pair: Pair) -> Pair:
    """Return the pair, its query put as a question now and then, always the same ones."""
    chance = random.Random(pair.query)  # noqa: S311 - the same pairs each time
    forms = _CODE if pair.kind in _LANGUAGES else _TITLES if pair.kind == "heading" else ()
    if not forms or chance.random() >= _SHARE or len(pair.query.split()) > _MOST_WORDS:
        return pair
    statement = pair.query.rstrip(".:!?")
    statement = statement[0].lower() + statement[1:]
    query = chance.choice(forms).format(statement, language=_LANGUAGES.get(pair.kind, ""))
    return replace(pair, query=query[:MOST_QUERY])
