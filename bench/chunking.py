"""What cutting at syntax is worth: Shoal's chunks beside plain windows of lines.

Every cutter's chunks go through the same index, the same built-in model and the same hybrid
ranking, in this process. `labelled.py` says what is asked, `covered.py` what is counted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import labelled
import report
from covered import BUDGET, Answered, Hit, coverage, holds, mean, ndcg, within_budget
from labelled import Document, LabelledSet
from tree_sitter import Parser
from tree_sitter_language_pack import get_language

from actors.engines.base import Engine
from actors.engines.registry import describe, open_engine
from actors.index.fusion import Mode, answer_of
from actors.index.lexical import weigh
from actors.index.segment import Segment
from actors.index.tokens import terms
from actors.index.writing import chunk_block, write_segment
from actors.messages import Chunk, Filter, ShardQuery
from actors.routing.gather import depth_for
from actors.storage import Storage
from cluster.ingest.chunk import chunk
from cluster.ingest.languages import PLAIN_TEXT, language_of
from cluster.ingest.packing import MAX_CHARS

Cutter = Callable[[Document], list[Chunk]]

DEPTHS = (1, 5, 10)
"""How many hits are looked at."""
MOST = 50
"""Hits asked for: enough to fill the budget, and to rank ten files."""
COLLECTION = "bench"
WINDOW = 40

_BLOCKS = frozenset(
    [
        "module",
        "block",
        "source_file",
        "statement_list",
        "field_declaration_list",
        "interface_type",
        "import_spec_list",
        "const_declaration",
        "var_spec_list",
    ]
)
"""Nodes of the two grammars whose parts are definitions and statements."""
_FUNCTIONS = frozenset(["function_definition", "function_declaration", "method_declaration"])


@dataclass(frozen=True, slots=True)
class Structure:
    """What a parser sees in a document.

    Attributes:
        starts: Lines, from 1, where a definition or statement begins; in prose, a paragraph.
        functions: Tokens of the lines of each function of at most `MAX_CHARS`.
    """

    starts: set[int]
    functions: list[range]


@dataclass(slots=True)
class Outcome:
    """What a cutter made of documents, and what was found of it.

    Attributes:
        chunks: All of them.
        clean: Whether each begins where a definition, statement or paragraph does.
        whole: Whether each function that fits into a chunk of Shoal's lies in one.
        answered: The questions with their hits.
    """

    chunks: list[Hit] = field(default_factory=list)
    clean: list[bool] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "chunking.json")
    given = parse.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(given.out, measure(Path(folder)))


def measure(work: Path) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    card = describe("static:builtin")
    engine = open_engine(card)
    cutters: dict[str, Cutter] = {
        "shoal": cut_by_shoal,
        "shoal_without_signatures": lambda document: [
            replace(one, signature="") for one in cut_by_shoal(document)
        ],
        "lines_to_the_same_limit": lambda document: chunk(document.path, document.text, PLAIN_TEXT),
        "windows_40": lambda document: list(windows(document, WINDOW)),
        "windows_40_overlap_20": lambda document: list(windows(document, WINDOW // 2)),
    }
    prose, code = labelled.chunkeval(), labelled.semble3()
    return {
        "budget_tokens": BUDGET,
        "chunkeval": {
            name: passages(outcome(cut, [prose], engine, work / "prose" / name))
            for name, cut in cutters.items()
        },
        "semble3": {
            name: by_language(cut, code, engine, work / "code" / name)
            for name, cut in cutters.items()
        },
    }


def cut_by_shoal(document: Document) -> list[Chunk]:
    """Cut as the indexer does."""
    return chunk(document.path, document.text, language_of(document.path))


def windows(document: Document, step: int) -> Iterator[Chunk]:
    """Cut into windows of `WINDOW` lines that begin `step` lines apart."""
    lines = document.text.split("\n")
    for start in range(0, max(len(lines) - WINDOW + step, 1), step):
        held = lines[start : start + WINDOW]
        text = "\n".join(held)
        if text.strip():
            language = language_of(document.path)
            yield Chunk(document.path, start + 1, start + len(held), language, "", text)


def by_language(
    cut: Cutter, sets: Sequence[LabelledSet], engine: Engine, work: Path
) -> dict[str, Any]:
    """Return figures of all sets, and of those of each language."""
    languages = sorted({each.language for each in sets})
    groups = {"all": sets} | {
        language: [each for each in sets if each.language == language] for language in languages
    }
    return {name: files(outcome(cut, group, engine, work / name)) for name, group in groups.items()}


def outcome(cut: Cutter, sets: Sequence[LabelledSet], engine: Engine, work: Path) -> Outcome:
    """Cut, index and ask each set."""
    found = Outcome()
    for each in sets:
        hits: list[Hit] = []
        for document in each.documents.values():
            chunks = cut(document)
            spans = list(document.spans_of(chunks))
            hits += map(Hit, chunks, spans)
            seen = structure(document)
            found.clean += [one.start_line in seen.starts for one in chunks]
            found.whole += [any(holds(span, f) for span in spans) for f in seen.functions]
        index = Index(hits, engine, work / each.name)
        found.chunks += hits
        found.answered += [Answered(q, index.search(q.text)) for q in each.questions]
    return found


class Index:
    """Chunks in one segment, searched as a router and its shard hosts do together."""

    def __init__(self, hits: Sequence[Hit], engine: Engine, root: Path) -> None:
        storage = Storage(str(root))
        block = chunk_block(COLLECTION, [hit.chunk for hit in hits], [""] * len(hits))
        vectors = engine.embed(block.texts, "document")
        self._ref = write_segment(storage, COLLECTION, [block], [vectors])
        self._segment = Segment(storage, COLLECTION, self._ref.id)
        self._hits = dict(zip(block.table["id"].to_pylist(), hits, strict=True))
        self._engine = engine

    def search(self, text: str) -> list[Hit]:
        """Return the best `MOST`, hybrid."""
        weighed = weigh(terms(text), self._frequency, self._ref.rows, self._ref.length)
        depth = depth_for(MOST)
        vector = self._engine.embed([text], "query")[0]
        query = ShardQuery(vector, weighed, Filter(), depth, MOST, 0)
        [(dense, lexical)] = self._segment.search([query], None)
        if dense is None or lexical is None:
            message = "a hybrid query was answered by one side alone"
            raise RuntimeError(message)
        return [
            self._hits[i]
            for i in answer_of(Mode.HYBRID, [dense], lexical, MOST).ranking.ids.tolist()
        ]

    def _frequency(self, term: bytes) -> int:
        statistics = self._segment.lexical.statistics
        number = statistics.vocabulary.find(term)
        return 0 if number is None else statistics.frequency(number)


def passages(found: Outcome) -> dict[str, Any]:
    """Return how well hits cover the marked passages, and what was cut."""
    marked = [each for each in found.answered if each.question.spans]
    if not marked:
        return {"questions": 0, "cut": shape(found)}
    at = {
        f"at_{depth}": coverage([(e.question, e.hits[:depth]) for e in marked]) for depth in DEPTHS
    }
    within = coverage([(e.question, within_budget(e.hits)) for e in marked])
    return {"questions": len(marked), "cut": shape(found), **at, "within_budget": within}


def files(found: Outcome) -> dict[str, Any]:
    """Return how well files are ranked, then what `passages` returns of marked definitions."""
    return {
        "questions": len(found.answered),
        "ndcg_at_10": mean(
            ndcg(each, [hit.chunk.path for hit in each.hits]) for each in found.answered
        ),
        "ndcg_at_10_of_distinct_files": mean(
            ndcg(each, list(dict.fromkeys(hit.chunk.path for hit in each.hits)))
            for each in found.answered
        ),
        "tokens_at_10": mean(sum(len(h.tokens) for h in each.hits[:10]) for each in found.answered),
        "definitions": passages(found),
    }


def shape(found: Outcome) -> dict[str, float]:
    """Return what the chunks are like."""
    return {
        "chunks": len(found.chunks),
        "mean_chars": round(fmean(len(hit.chunk.text) for hit in found.chunks), 1),
        "mean_tokens": round(fmean(len(hit.tokens) for hit in found.chunks), 1),
        "begin_cleanly": mean(found.clean),
        **({"functions_whole": mean(found.whole)} if found.whole else {}),
    }


def structure(document: Document) -> Structure:
    """Return where definitions and statements are; in prose, where paragraphs begin."""
    lines = document.text.split("\n")
    language = language_of(document.path)
    if language == "markdown":
        blank = [True, *(not line.strip() for line in lines)]
        rows = enumerate(lines, 1)
        return Structure({n for n, line in rows if blank[n - 1] or line.startswith("#")}, [])
    found = Structure(set(), [])
    pending = [Parser(get_language(language)).parse(document.text.encode()).root_node]
    while pending:
        node = pending.pop()
        parts = node.named_children if node.type in _BLOCKS else []
        begun = (part.start_point for part in parts)
        found.starts.update(row + 1 for row, at in begun if not lines[row].encode()[:at].strip())
        if node.type in _FUNCTIONS and node.end_byte - node.start_byte <= MAX_CHARS:
            span = document.span_of_lines(node.start_point[0] + 1, node.end_point[0] + 1)
            found.functions.append(span)
        pending.extend(node.named_children)
    return found


if __name__ == "__main__":
    main()
