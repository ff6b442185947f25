"""Where the words of an identifier end, for postings and for models that read them apart."""

from __future__ import annotations

import re

# snake_case, camelCase and the end of an acronym ("HTTPServer" → HTTP, Server). Digits stay with
# the letters before them, because "utf8" and "sha256" are words.
BOUNDARY = re.compile(r"_+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def split_identifiers(text: str) -> str:
    """Return the text with a blank where a word of an identifier ends: `getUser` is `get User`."""
    return BOUNDARY.sub(" ", text)
