"""What an answer takes of a model's context, and what it finds: `search`, grep and reading, semble.

Needs the labelled sets of SHOAL_SHARED, and the environment of `make test-vllm` to count tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import labelled
import numpy as np
import psutil
import report
from answering import READ, Answer, Answers, ways
from covered import mean
from labelled import LabelledSet, Question
from mcp_start import LIMIT
from sides import SEMBLE, SHOAL, gateway, semble_environment
from stdio import Session

from cluster.client import ShoalClient

_LIMIT_S = 1800.0
_TOKENIZER = "tekken_240911.json"
_PEER = Path(__file__).with_name("tokens_peer.py")
_COUNTS = report.REPOSITORY / ".venv-vllm" / "bin" / "python"


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "answer_tokens.json")
    parse.add_argument("--questions", type=int, default=1_000, help="of each set, at most")
    given = parse.parse_args()
    report.require_peer()
    if not _COUNTS.exists():
        sys.exit("no .venv-vllm, whose packages carry the tokenizer: make test-vllm makes it")
    sets = {"cookbook-code": [labelled.cookbook_code()], "semble3": labelled.semble3()}
    cut = {
        name: [replace(one, questions=one.questions[: given.questions]) for one in those]
        for name, those in sets.items()
    }
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(given.out, measure(Path(folder), cut))


def measure(work: Path, sets: dict[str, list[LabelledSet]]) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    cache_folder = work / "cache"
    cache_folder.mkdir()
    environment = {**os.environ, "SHOAL_ROOT": str(work / "root")}
    with ExitStack() as stack:
        client = stack.enter_context(gateway(work / "root"))
        count = stack.enter_context(Tokens())
        shoal = opened(stack, (SHOAL, "mcp"), environment)
        semble = opened(stack, (SEMBLE,), semble_environment(cache_folder))
        return {
            "limit": LIMIT,
            "files_read": READ,
            "tokenizer": f"Tekken of Mistral's models, {_TOKENIZER}",
            "sets": {
                name: compared(
                    [
                        (each, ways(each, written(each, work / each.name, client), shoal, semble))
                        for each in those
                    ],
                    count,
                )
                for name, those in sets.items()
            },
        }


def opened(stack: ExitStack, command: Sequence[str | Path], environment: dict[str, str]) -> Session:
    """Start an MCP server."""
    session = stack.enter_context(Session(command, environment, _LIMIT_S))
    session.initialize()
    return session


def written(documents: LabelledSet, folder: Path, client: ShoalClient) -> Path:
    """Write a set's documents as files, and index them as a collection of its name."""
    for path, document in documents.documents.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document.text, encoding="utf-8")
    client.wait(client.index([str(folder)], collection=documents.name))
    return folder


def compared(
    sets: Sequence[tuple[LabelledSet, dict[str, Answers]]], count: Callable[[str], int]
) -> dict[str, Any]:
    """Return each way's figures over the questions of all sets."""
    found: dict[str, Any] = {}
    for name in sets[0][1]:
        answers = [
            (one, question, asked[name](question.text))
            for one, asked in sets
            for question in one.questions
        ]
        found[name] = figures(answers, count)
    questions = [question for one, _ in sets for question in one.questions]
    least = found["search_concise"]["tokens"]["mean"]
    return {
        "questions": len(questions),
        "questions_with_passages": sum(bool(question.spans) for question in questions),
        "files": sum(len(one.documents) for one, _ in sets),
        "ways": found,
        "tokens_over_search_concise": {
            name: round(each["tokens"]["mean"] / least, 2) for name, each in found.items()
        },
    }


def figures(
    answers: Sequence[tuple[LabelledSet, Question, Answer]], count: Callable[[str], int]
) -> dict[str, Any]:
    """Return tokens and recall of one way."""
    tokens = [sum(map(count, (*a.texts, *a.read))) for _, _, a in answers]
    in_files = [share(question.files, answer.files) for _, question, answer in answers]
    marked = [each for each in answers if each[1].spans]
    structured = [count(a.structured) for _, _, a in answers if a.structured]
    size = fmean(sum(len(t.encode()) for t in (*a.texts, *a.read)) for _, _, a in answers)
    return {
        "tokens": {
            "mean": round(fmean(tokens)),
            **{f"p{p}": round(float(np.percentile(tokens, p))) for p in (50, 90)},
        },
        "mean_bytes": round(size),
        "mean_tokens_read": round(fmean(sum(map(count, a.read)) for _, _, a in answers)),
        **({"mean_tokens_structured": round(fmean(structured))} if structured else {}),
        "recall_of_files": mean(in_files),
        "found_any_file": mean(part > 0 for part in in_files),
        **({"recall_of_passages": mean(passages(*each) for each in marked)} if marked else {}),
    }


def passages(documents: LabelledSet, question: Question, answer: Answer) -> float:
    """Return the share of the words of a question's passages that stand in the lines shown."""
    wanted = {(path, word) for path, words in question.spans for word in words}
    shown = {
        (path, word)
        for path, first, last in answer.lines
        if path in question.files
        for word in documents.documents[path].span_of_lines(first, last)
    }
    return share(wanted, shown)


def share(wanted: Any, found: Any) -> float:  # noqa: ANN401 - two collections of like things
    """Return how many of what is wanted were found."""
    return len(set(wanted).intersection(found)) / len(set(wanted))


class Tokens:
    """Counts tokens in a process of its own (`tokens_peer.py`); what was counted is remembered."""

    def __init__(self) -> None:
        self._counted: dict[str, int] = {"": 0}

    def __enter__(self) -> Callable[[str], int]:
        """Start it, and return what counts."""
        self._process = psutil.Popen(
            [str(_COUNTS), "-P", str(_PEER), _TOKENIZER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self._count

    def __exit__(self, *exc: object) -> None:
        """Let it end."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _count(self, text: str) -> int:
        if text not in self._counted:
            self._process.stdin.write(json.dumps(text) + "\n")
            self._process.stdin.flush()
            self._counted[text] = int(self._process.stdout.readline())
        return self._counted[text]


if __name__ == "__main__":
    main()
