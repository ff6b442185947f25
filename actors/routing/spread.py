"""Dividing actors over nodes evenly, in such a way that few of them move."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence


def divided(
    nodes: Sequence[str], count: int, room: Mapping[str, int], here: Mapping[str, int]
) -> dict[str, int]:
    """Return how many of `count` actors each node gets, as even as their room allows.

    Args:
        nodes: The nodes, best first.
        count: How many actors.
        room: How many a node can take at most.
        here: How many a node has now; one that has more keeps the odd one.
    """
    quotas = dict.fromkeys(nodes, 0)
    for _ in range(count):
        free = [node for node in nodes if quotas[node] < room[node]]
        if not free:
            break
        quotas[min(free, key=lambda n: (quotas[n], quotas[n] >= here.get(n, 0)))] += 1
    return quotas


def assigned(existing: Mapping[str, str], quotas: Mapping[str, int], prefix: str) -> dict[str, str]:
    """Return name → node: who is where it may be stays, others come under fresh names.

    Args:
        existing: Name → node of the actors that there are; "" where it is not known, as of one
            that is being restarted, which keeps its name if a place is left over.
        quotas: How many each node gets.
        prefix: Of fresh names, which have the lowest numbers that nobody has.
    """
    free = Counter(quotas)
    placed: dict[str, str] = {}
    names = sorted(existing, key=_number)
    for name in names:
        if free[existing[name]] > 0:
            placed[name] = existing[name]
            free[existing[name]] -= 1
    for name in (n for n in names if not existing[n] and n not in placed):
        node = next((n for n, count in free.items() if count > 0), None)
        if node is not None:
            placed[name] = node
            free[node] -= 1
    fresh = (f"{prefix}-{number}" for number in itertools.count())
    unused = (name for name in fresh if name not in existing)
    placed.update(zip(unused, _in_rounds(free), strict=False))
    return dict(sorted(placed.items(), key=lambda item: _number(item[0])))


def _in_rounds(counts: Mapping[str, int]) -> Iterator[str]:
    for turn in range(max(counts.values(), default=0)):
        yield from (node for node, count in counts.items() if count > turn)


def _number(name: str) -> tuple[int, str]:
    number = name.rpartition("-")[2]
    return (int(number) if number.isdecimal() else 0), name
