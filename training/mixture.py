"""Which of the gathered pairs are learnt from: as many of each kind as makes a balanced whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from training.pairs.pair import Pair

SHARES = {
    "python": 0.17, "heading": 0.14, "prose": 0.12, "docstring": 0.09, "comment": 0.07,
    "name": 0.07, "dictionary": 0.07, "c": 0.05, "rust": 0.05, "java": 0.05, "description": 0.05,
    "go": 0.04, "javascript": 0.04, "ruby": 0.03, "php": 0.03, "manual": 0.03, "test": 0.02,
    "perl": 0.02, "shell": 0.01, "lua": 0.005,
}  # fmt: skip
"""Of each kind, in proportion. A kind that has too few leaves its room to the others."""


def mix(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Take the first pairs of each kind, by its share of `most`; kinds without one are left out."""
    by_kind: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.kind in SHARES:
            by_kind[pair.kind].append(pair)
    left = sum(SHARES[kind] for kind in by_kind)
    mixed: list[Pair] = []
    for kind in sorted(by_kind, key=lambda kind: len(by_kind[kind]) / SHARES[kind]):
        room = round((most - len(mixed)) * SHARES[kind] / left)
        mixed += by_kind[kind][:room]
        left -= SHARES[kind]
    return mixed
