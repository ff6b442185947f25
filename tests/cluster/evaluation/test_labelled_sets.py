"""Labelled sets are read whole, or refused with the line that is wrong."""

import re

import pytest
from labelled_files import DOCUMENTS, JUDGED, QUESTIONS, write_set

from actors.errors import InvalidRequest, NotFound
from cluster.evaluation.labelled import read_sets


def test_a_set_is_its_documents_and_the_questions_that_one_of_them_answers(tmp_path):
    number = {"id": 3, "text": "three", "title": None, "path": "a.py", "more": []}
    folder = write_set(tmp_path / "mine", (*DOCUMENTS, number, ""))
    (read,) = read_sets([folder])
    assert (read.name, [d.id for d in read.documents]) == ("mine", ["d1", "d2", "3"])
    assert [d.place for d in read.documents] == ["d1", "d2", "a.py"]
    assert [q.id for q in read.questions] == ["q1"]
    assert read.grades["q1"] == {"d1": 1.0}


def test_a_folder_of_sets_is_all_of_them(tmp_path):
    for name in ("b", "a"):
        write_set(tmp_path / name)
    (tmp_path / "other").mkdir()
    assert [read.name for read in read_sets([tmp_path])] == ["a", "b"]


@pytest.mark.parametrize(
    ("file", "line", "said", "parts"),
    [
        ("corpus", 2, "text: Field required", {"documents": (DOCUMENTS[0], {"id": "d2"})}),
        ("corpus", 1, "Invalid JSON", {"documents": ("{", *DOCUMENTS)}),
        ("corpus", 3, "'d1' is that of an earlier", {"documents": (*DOCUMENTS, DOCUMENTS[0])}),
        (
            "queries",
            3,
            "text: String should match",
            {"questions": (*QUESTIONS, {"id": "q3", "text": " "})},
        ),
        (
            "queries",
            3,
            "the repo, 'src'",
            {"questions": (*QUESTIONS, {"id": "q3", "text": "x", "repo": "src"})},
        ),
        ("qrels", 4, "'d9' is no id in corpus", {"judged": (*JUDGED, "q1\td9\t1")}),
        ("qrels", 4, "'q9' is no id in queries", {"judged": (*JUDGED, "q9\td1\t1")}),
        ("qrels", 4, "2 columns", {"judged": (*JUDGED, "q1\td1")}),
        (
            "qrels",
            4,
            "relevance: Input should be a valid number",
            {"judged": (*JUDGED, "q2\td1\tyes")},
        ),
        ("qrels", 4, "relevance: Input should be greater", {"judged": (*JUDGED, "q2\td1\t-1")}),
        ("qrels", 4, "was judged for 'q1' in an earlier", {"judged": (*JUDGED, JUDGED[0])}),
    ],
)
def test_a_line_that_is_wrong_is_named_with_its_file_and_the_way_out(
    tmp_path, file, line, said, parts
):
    folder = write_set(tmp_path, **parts)
    place = rf"{file}\.\w+:{line}: .*{re.escape(said)}.*correct the line or take it out"
    with pytest.raises(InvalidRequest, match=place):
        read_sets([folder])


def test_judgements_without_headings_are_refused_rather_than_one_of_them_lost(tmp_path):
    (write_set(tmp_path) / "qrels.tsv").write_text("q1\td1\t1\n")
    with pytest.raises(InvalidRequest, match=r"qrels.tsv:1: .*one of headings"):
        read_sets([tmp_path])


def test_judgements_of_nothing_relevant_are_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="no question has a relevant document"):
        read_sets([write_set(tmp_path, judged=JUDGED[1:])])


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFound, match="holds no labelled set"):
        read_sets([tmp_path])
    (write_set(tmp_path) / "queries.jsonl").unlink()
    with pytest.raises(NotFound, match=r"queries\.jsonl is not there"):
        read_sets([tmp_path])
