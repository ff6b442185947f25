"""Documents become chunks, and hits become documents again."""

from cluster.evaluation.cutting import MOST_PASSAGE_CHARS, cut
from cluster.evaluation.labelled import Document
from cluster.ingest.chunk import chunk
from cluster.ingest.packing import MAX_CHARS

SOURCE = "".join(f"def number_{n}():\n    return {'1 + ' * 90}{n}\n\n\n" for n in range(9))


def places(cut_up):
    return [(one.path, one.start_line, one.end_line) for one in cut_up.chunks]


def test_a_whole_file_is_cut_as_it_is_when_it_is_indexed():
    made = cut([Document(id="src/a.py", text=SOURCE.replace("\n", "\r\n"))])
    plain = chunk("src/a.py", SOURCE, "python")
    assert len(plain) > 1
    assert [one.model_dump(exclude={"vector"}) for one in made.chunks] == [
        {name: getattr(one, name) for name in one.__slots__} for one in plain
    ]
    assert set(made.owners.values()) == {"src/a.py"}


def test_a_passage_is_one_chunk_below_its_title():
    long = "word\n" * (MAX_CHARS // 4)
    made = cut([Document(id="7", text=long, title="Numbers"), Document(id="8", text="eight")])
    assert [one.text for one in made.chunks] == [f"Numbers\n{long}", "eight"]


def test_passages_of_one_path_stand_one_below_the_other():
    texts = {"first": "a\nb", "empty": " ", "second": "c"}
    documents = [Document(id=name, text=text, path="x/a.py") for name, text in texts.items()]
    made = cut(documents)
    assert places(made) == [("x/a.py", 1, 2), ("x/a.py", 3, 3)]
    assert {one.language for one in made.chunks} == {"python"}
    assert made.owners == {("x/a.py", 1): "first", ("x/a.py", 3): "second"}


def test_a_passage_that_is_no_short_one_is_cut_and_stays_one_document():
    long = "word\n" * (MOST_PASSAGE_CHARS // 4)
    made = cut([Document(id=name, text=text, path="p") for name, text in (("a", "x"), ("b", long))])
    assert len(made.chunks) > 2
    assert set(made.owners.values()) == {"a", "b"}
    assert made.owners["p", 2] == "b"


def test_a_document_is_where_its_best_chunk_is():
    made = cut([Document(id=name, text=SOURCE) for name in ("a.py", "b.py")])
    (a, *more_of_a), (b, *_) = (
        [place for place, owner in made.owners.items() if owner == name]
        for name in ("a.py", "b.py")
    )
    hits = [(more_of_a[0], 3.0), (b, 2.0), (a, 1.0)]
    assert list(made.ranked(hits).items()) == [("a.py", 3.0), ("b.py", 2.0)]
