"""Text from indexed files as a person may safely see it, on a terminal or through an agent."""

from __future__ import annotations

_HIDDEN = (
    *range(9),  # terminal control; tab and newline stay
    *range(0x0B, 0x20),
    *range(0x7F, 0xA0),
    0xAD,  # a hyphen that shows at the end of a line only
    *range(0x600, 0x606),  # signs that take others into them, and so move them
    0x61C,  # directions: 200E, 200F and 202A on reorder what a person sees, "Trojan Source"
    *(0x6DD, 0x70F, 0x890, 0x891, 0x8E2),
    *(0x115F, 0x1160, 0x17B4, 0x17B5),  # letters without a shape
    *range(0x180B, 0x1810),
    0x200B,  # of no width; 200C and 200D stay, which scripts and emoji need
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),  # lines and paragraphs that JSON and Python do not see as such
    *range(0x2060, 0x2070),
    *(0x3164, 0xFFA0),
    *range(0xD800, 0xE000),  # half a character
    *range(0xFE00, 0xFE0E),  # variants; FE0E and FE0F stay, which say how an emoji looks
    0xFEFF,
    *range(0xFFF0, 0xFFFC),
    *(0x110BD, 0x110CD),
    *range(0x13430, 0x13440),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),  # read by models, invisible to people
)
_SHOWN = dict.fromkeys(_HIDDEN, "\ufffd") | {0x0D: None}


def visible(text: str) -> str:
    """Return a text in which nothing is hidden from a person who reads it."""
    return text if text.isascii() and text.isprintable() else text.translate(_SHOWN)


def one_line(text: str) -> str:
    """Return a visible text on one line; a path may hold line breaks, and pretend to be more."""
    return " ".join(visible(text).split("\n"))
