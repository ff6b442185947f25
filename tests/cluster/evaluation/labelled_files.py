"""Writes labelled sets for tests."""

from __future__ import annotations

import json

DOCUMENTS = ({"id": "d1", "text": "one"}, {"id": "d2", "text": "two", "title": "Two"})
QUESTIONS = ({"id": "q1", "text": "which is one?"}, {"id": "q2", "text": "not judged"})
JUDGED = ("q1\td1\t1", "q2\td2\t0")


def write_set(folder, documents=DOCUMENTS, questions=QUESTIONS, judged=JUDGED):
    """Write a set; a row that is a string is a line as it stands."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus.jsonl", documents), ("queries.jsonl", questions)):
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    text = "\n".join(("query-id\tdoc-id\trelevance", *judged))
    (folder / "qrels.tsv").write_text(f"{text}\n", encoding="utf-8")
    return folder
