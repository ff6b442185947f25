"""Ways to have a question answered from a folder: MCP tools, and grep with reading."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from labelled import LabelledSet
from mcp_start import LIMIT
from stdio import Session, search_call

READ = 3
"""Files that are read whole."""
_DETAILS = ("locations", "concise", "full")
_SNIPPETS = {"semble_locations": 0, "semble_10_lines": 10, "semble_full": None}
"""Lines of each hit that semble is asked for: none, as many as by default, all."""
_FUNCTION_WORDS = """\
a an and any are as at be been but by can could did do does for from had has have how i if in into
is it its may might must of on or should so such than that the their them then there these they this
those through to was we were what when where which while who whose why will with would you your
""".split()  # noqa: SIM905 - a page of quotes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model gets to see for a question.

    Attributes:
        texts: Answers of tools.
        files: Paths that are shown or read, the best first.
        lines: Path, first and last line of all that is shown; of locations, of what is named.
        read: Files that were read after that, whole.
        structured: The same as `texts` in the form that some hosts hand on instead.
    """

    texts: Sequence[str]
    files: Sequence[str]
    lines: Sequence[tuple[str, int, int]]
    read: Sequence[str] = ()
    structured: str = ""


Answers = Callable[[str], Answer]
"""Answers a question."""


def ways(
    documents: LabelledSet, folder: Path, shoal: Session, semble: Session
) -> dict[str, Answers]:
    """Return the ways to get an answer from a folder."""

    def reading(answer: Answer) -> Answer:
        files = answer.files[:READ]
        texts = {path: documents.documents[path].text for path in files}
        lines = [(path, 1, text.count("\n") + 1) for path, text in texts.items()]
        return Answer(answer.texts, files, [*answer.lines, *lines], list(texts.values()))

    searches = {
        f"search_{detail}": partial(searched, shoal, {"detail": detail}, documents.name)
        for detail in _DETAILS
    }
    keywords, every = partial(grepped, folder, keywords_of), partial(grepped, folder, words_of)
    return {
        **searches,
        "search_locations_then_read": lambda text: reading(
            replace(searches["search_locations"](text), lines=())  # named, and not yet shown
        ),
        "grep_then_read": lambda text: reading(keywords(text)),
        "grep_every_word_then_read": lambda text: reading(every(text)),
        **{
            name: partial(asked_semble, semble, {"max_snippet_lines": lines}, folder)
            for name, lines in _SNIPPETS.items()
        },
    }


def searched(shoal: Session, wanted: dict[str, Any], collection: str, text: str) -> Answer:
    """Ask Shoal's tool."""
    scope = {"collections": [collection], "limit": LIMIT, **wanted}
    result = shoal.request("tools/call", **search_call(text, scope))
    if result.get("isError"):
        raise RuntimeError(result["content"][0]["text"])
    structured = result["structuredContent"]
    shown = [
        (
            hit["path"],
            hit["start_line"],
            hit["start_line"] + hit["text"].count("\n") if hit["text"] else hit["end_line"],
        )
        for hit in structured["hits"]
    ]
    as_json = json.dumps(structured, ensure_ascii=False, separators=(",", ":"))
    return Answer([result["content"][0]["text"]], distinct(shown), shown, structured=as_json)


def asked_semble(semble: Session, wanted: dict[str, Any], folder: Path, text: str) -> Answer:
    """Ask semble's tool."""
    scope = {"repo": str(folder), "top_k": LIMIT, **wanted}
    said = semble.request("tools/call", **search_call(text, scope))["content"][0]["text"]
    shown = [
        (
            hit["file_path"],
            hit["start_line"],
            min(hit["end_line"], hit["start_line"] + hit["content"].count("\n"))
            if "content" in hit
            else hit["end_line"],
        )
        for hit in json.loads(said).get("results", ())
    ]
    return Answer([said], distinct(shown), shown)


def grepped(folder: Path, words: Callable[[str], Sequence[str]], text: str) -> Answer:
    """Search for each word by itself; the files with most matching lines in all come first."""
    found = [grep(folder, word) for word in words(text)]
    lines = [place for _, places in found for place in places]
    matches = Counter(path for path, _, _ in lines)
    files = sorted(matches, key=lambda path: (-matches[path], path))
    return Answer([output for output, _ in found], files, lines)


@cache
def grep(folder: Path, word: str) -> tuple[str, list[tuple[str, int, int]]]:
    """Return what `grep -rniF` prints, and the lines that it names."""
    command = ["grep", "-rniF", "-e", word, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    output = done.stdout.decode(errors="replace")
    places = [line.split(":", 2)[:2] for line in output.split("\n") if line]
    return output, [(path.removeprefix("./"), int(line), int(line)) for path, line in places]


def words_of(text: str) -> list[str]:
    """Return each word of a question once."""
    return list(dict.fromkeys(word.lower() for word in re.findall(r"\w+", text)))


def keywords_of(text: str) -> list[str]:
    """Return what one would look for: the words that are not of every sentence."""
    return [word for word in words_of(text) if word not in _FUNCTION_WORDS and len(word) > 1]


def distinct(shown: Sequence[tuple[str, int, int]]) -> list[str]:
    """Return the paths in their order."""
    return list(dict.fromkeys(path for path, _, _ in shown))
