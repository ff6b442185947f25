"""Text from indexed files as a person may safely see it, on a terminal or through an agent."""

from __future__ import annotations

_HIDDEN = (
    *range(9),  # terminal control; tab and newline stay
    *range(0x0B, 0x20),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),  # reorder what a person sees: "Trojan Source"
    *range(0x2066, 0x206A),
    *range(0xE0000, 0xE0080),  # read by models, invisible to people
)
_SHOWN = dict.fromkeys(_HIDDEN, "\ufffd") | {0x0D: None}


def visible(text: str) -> str:
    """Return a text in which nothing is hidden from a person who reads it."""
    return text.translate(_SHOWN)


def one_line(text: str) -> str:
    """Return a visible text on one line; a path may hold line breaks, and pretend to be more."""
    return " ".join(visible(text).split("\n"))
