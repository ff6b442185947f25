"""Identifiers to words, for models trained so: `getUserById` reads as `get User By Id`."""

from __future__ import annotations

import re

# snake_case, camelCase and the end of an acronym ("HTTPServer" → HTTP, Server). Digits stay with
# the letters before them, because "utf8" and "sha256" are words.
_BOUNDARY = re.compile(r"_+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def split_identifiers(text: str) -> str:
    """Return the text with a blank wherever one word of an identifier ends and another begins."""
    return _BOUNDARY.sub(" ", text)
