"""Pages of hits, stored lines, likenesses and definitions, through a real gateway."""

import json

import pytest
from command import run_shoal

from actors.errors import InvalidRequest, NotFound
from actors.index import fusion
from cluster.client import ShoalClient
from cluster.protocol import IngestChunk

FILES = {
    "app/store.py": (
        "class Store:\n    def load(self, path):\n        return open(path)\n\n"
        "    def save(self, path):\n        return path\n"
    ),
    "app/main.py": "def main(store):\n    return store.load('settings.json')\n",
    "tests/test_store.py": "def test_load():\n    assert Store().load('x')\n",
    "docs/guide.md": "# Guide\n\nHow to load a store.\n\n## Saving\n\nHow to save it.\n",
}
COLLECTION = "lookups"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    top = tmp_path_factory.mktemp("lookups")
    for name, text in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    for number in range(30):
        (top / f"docs/n{number}.md").write_text(f"# Note {number}\n\nA store of notes, {number}.\n")
    return top


@pytest.fixture(scope="module")
def stored(gateway, project):
    with ShoalClient(root=gateway.root) as shoal:
        shoal.wait(shoal.index([str(project)], collection=COLLECTION))
        yield shoal
        shoal.delete(COLLECTION)


def hits(answer):
    return [(hit.path, hit.start_line) for hit in answer.hits]


def test_a_definition_comes_first_and_says_why(stored):
    first, *others = stored.search("Store.load", collections=[COLLECTION], explain=True).hits
    assert first.path == "app/store.py"
    assert first.why.parts["definition"] == fusion.DEFINITION
    assert first.why.dense_rank
    assert first.why.lexical_rank
    (test,) = (hit for hit in others if hit.path == "tests/test_store.py")
    assert test.why.parts["aside"] == fusion.ASIDE
    for hit in (first, *others):
        assert sum(hit.why.parts.values()) == pytest.approx(hit.score)


def test_a_score_of_one_side_is_explained_by_its_rank(stored):
    found = stored.search("load", collections=[COLLECTION], mode="lexical", explain=True).hits
    assert [hit.why.lexical_rank for hit in found] == list(range(1, len(found) + 1))
    assert all(hit.why.bm25 == hit.score and not hit.why.parts for hit in found)


def test_nothing_is_explained_unasked(stored):
    assert all(hit.why is None for hit in stored.search("load", collections=[COLLECTION]).hits)


def test_the_command_explains_below_each_hit(stored, gateway):
    ask = ["search", "Store.load", "--collection", COLLECTION, "--explain"]
    shown = run_shoal(*ask, "--root", gateway.root).stdout
    assert "+2.00 definition" in shown
    assert "words: rank 1 (BM25" in shown


def test_no_hit_is_of_a_path_that_is_excluded(stored):
    everything = stored.search("store", collections=[COLLECTION], limit=50)
    within = stored.search(
        "store", collections=[COLLECTION], limit=50, exclude_paths=["docs/", "test_*.py"]
    )
    assert {hit.path.split("/")[0] for hit in everything.hits} == {"app", "tests", "docs"}
    assert {hit.path.split("/")[0] for hit in within.hits} == {"app"}
    both = stored.search(
        "store", collections=[COLLECTION], paths=["*.py"], exclude_paths=["tests/"], limit=50
    )
    assert {hit.path for hit in both.hits} == {"app/store.py", "app/main.py"}
    with pytest.raises(InvalidRequest, match="no glob"):
        stored.search("store", collections=[COLLECTION], exclude_paths=["!docs/"])


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "lexical"])
def test_pages_are_one_ranking(stored, mode):
    known = {"collections": [COLLECTION], "mode": mode}
    whole = stored.search("store of notes", limit=20, **known)
    pages = [stored.search("store of notes", limit=6, offset=n, **known) for n in (0, 6, 12, 18)]
    assert [hit.id for page in pages for hit in page.hits][:20] == [hit.id for hit in whole.hits]
    assert all(hit.text for page in pages for hit in page.hits)
    assert all(page.more for page in pages[:3])


def test_the_last_page_says_so(stored):
    known = {"collections": [COLLECTION], "mode": "lexical", "paths": ["*.py"]}
    assert not stored.search("store", limit=3, **known).more
    assert stored.search("store", limit=2, **known).more
    last = stored.search("store", limit=2, offset=2, **known)
    assert (len(last.hits), last.more) == (1, False)
    beyond = stored.search("store", limit=2, offset=4, **known)
    assert (beyond.hits, beyond.more, beyond.coverage) == ((), False, 1.0)
    with pytest.raises(InvalidRequest, match="1000 together"):
        stored.search("store", limit=10, offset=995)


def test_a_hit_is_read_again_by_its_id_and_by_its_place(stored):
    hit = stored.search("saving", collections=[COLLECTION], mode="lexical").hits[0]
    by_id = stored.read(hit.id)
    assert (by_id.path, by_id.text, by_id.id) == (hit.path, hit.text, hit.id)
    by_place = stored.read(
        path=hit.path, collection=COLLECTION, start_line=hit.start_line, end_line=hit.end_line
    )
    assert by_place == by_id
    wider = stored.read(path="app/store.py", collection=COLLECTION, start_line=3, context=1)
    assert wider.text == FILES["app/store.py"].rstrip("\n").split("\n", 1)[1]


def test_a_file_is_read_as_it_was_indexed(stored):
    for path, text in FILES.items():
        assert stored.read(path=path, collection=COLLECTION).text == text.rstrip("\n")


def test_what_is_not_stored_is_not_found_and_the_way_out_is_told(stored):
    with pytest.raises(NotFound, match="search again"):
        stored.read("0" * 16)
    with pytest.raises(NotFound, match="as hits do"):
        stored.read(path="/etc/passwd", collection=COLLECTION)
    with pytest.raises(NotFound, match="has lines 1-2"):
        stored.read(path="app/main.py", collection=COLLECTION, start_line=30)
    with pytest.raises(NotFound):
        stored.similar(path="app/none.py", line=1, collection=COLLECTION)
    with pytest.raises(NotFound):
        stored.symbols("load", collections=["nowhere"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda shoal: shoal.read(), "either chunk_id or path"),
        (lambda shoal: shoal.read("0" * 16, path="a"), "either chunk_id or path"),
        (lambda shoal: shoal.read("0" * 16, start_line=2), "go with path"),
        (lambda shoal: shoal.read(path="a", start_line=3, end_line=2), "before start_line"),
        (lambda shoal: shoal.read("../x"), "chunk_id"),
        (lambda shoal: shoal.similar(), "give one of"),
        (lambda shoal: shoal.similar(path="a"), "path and line"),
        (lambda shoal: shoal.similar(text="a", path="a", line=1), "give one of"),
        (lambda shoal: shoal.symbols("()"), "letters or digits"),
        (lambda shoal: shoal.symbols("a", kind="gadget"), "kind"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(shoal, call, message):
    with pytest.raises(InvalidRequest, match=message):
        call(shoal)


def test_a_chunk_is_not_like_itself_and_most_like_its_copy(stored):
    (note,) = stored.search(
        "note 7", collections=[COLLECTION], mode="lexical", paths=["docs/n7.md"]
    ).hits
    by_id = stored.similar(note.id, collections=[COLLECTION], limit=5)
    by_line = stored.similar(
        path="docs/n7.md", line=2, collection=COLLECTION, collections=[COLLECTION], limit=5
    )
    assert hits(by_id) == hits(by_line)
    assert len(by_id.hits) == 5
    assert "docs/n7.md" not in {hit.path for hit in by_id.hits}
    assert {hit.path.startswith("docs/n") for hit in by_id.hits} == {True}
    everything = stored.similar(note.id, collections=[COLLECTION], limit=100)
    assert not everything.more
    assert note.id not in {hit.id for hit in everything.hits}
    pages = [
        stored.similar(note.id, collections=[COLLECTION], limit=4, offset=n) for n in (0, 4, 8)
    ]
    assert [hit.id for page in pages for hit in page.hits] == [h.id for h in everything.hits[:12]]
    assert all(page.more for page in pages)
    first = everything.hits[0]
    vectors = stored.similar(first.id, collections=[COLLECTION], limit=100)
    assert vectors.hits[[hit.id for hit in vectors.hits].index(note.id)].score == pytest.approx(
        first.score, abs=1e-5
    )


def test_a_text_is_like_the_chunk_that_holds_it(stored):
    answer = stored.similar(text=FILES["app/main.py"], collections=[COLLECTION], paths=["*.py"])
    assert answer.hits[0].path == "app/main.py"
    others = stored.similar(
        text=FILES["app/main.py"], collections=[COLLECTION], exclude_paths=["app/"]
    )
    assert "app" not in {hit.path.split("/")[0] for hit in others.hits}


def test_collections_of_another_model_compare_the_text(stored):
    chunks = [IngestChunk(path="a", text="A store of notes, 7."), IngestChunk(path="b", text="x")]
    stored.ingest(chunks, vectors=[[1.0, 0.0], [0.0, 1.0]], collection="by-hand")
    try:
        known = {"path": "docs/n7.md", "line": 1, "collection": COLLECTION}
        answer = stored.similar(**known)
        told = {part.name: part.problem for part in answer.collections}
        assert "vectors" in told["by-hand"]
        assert told[COLLECTION] == ""
        own = stored.similar(path="a", line=1, collection="by-hand", collections=["by-hand"])
        assert hits(own) == [("b", 1)]
        other = stored.similar(path="a", line=1, collection="by-hand", collections=[COLLECTION])
        assert other.hits[0].path.startswith("docs/n")
    finally:
        stored.delete("by-hand")


def test_names_are_found_where_they_are_defined(stored):
    found = stored.symbols("load", collections=[COLLECTION])
    assert [(s.path, s.start_line, s.symbol, s.kind, s.signature) for s in found.symbols] == [
        ("app/store.py", 2, "Store.load", "method", "def load(self, path):")
    ]
    assert (found.coverage, found.more) == (1.0, False)
    (heading,) = stored.symbols("saving", kind="heading", collections=[COLLECTION]).symbols
    assert (heading.symbol, heading.start_line) == ("Guide > Saving", 5)
    (definition,) = stored.symbols("Store", languages=["python"], collections=[COLLECTION]).symbols
    assert stored.read(definition.id).text.startswith("class Store:")
    assert stored.symbols("load", kind="class", collections=[COLLECTION]).symbols == ()
    beyond = stored.symbols("load", collections=[COLLECTION], offset=1)
    assert (beyond.symbols, beyond.more) == ((), False)


def test_the_command_line_looks_up_too(stored, gateway, tmp_path):
    def run(*args):
        done = run_shoal(*args, "--root", gateway.root, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    own = ("--collection", COLLECTION)
    assert "docs/" not in run("search", "store", *own, "--exclude", "docs/", "--limit", "20")
    assert run("symbols", "load", *own).startswith("app/store.py:2-3  Store.load  method\n")
    assert run("read", "app/store.py:2-3", *own) == (
        "    def load(self, path):\n        return open(path)\n"
    )
    found = json.loads(run("similar", "docs/n7.md:1", *own, "--json", "--limit", "3"))
    assert len(found["hits"]) == 3
    first = run("search", "store of notes", *own, "--limit", "1", "--offset", "1", "--json")
    second = run("search", "store of notes", *own, "--limit", "2", "--json")
    assert json.loads(first)["hits"] == json.loads(second)["hits"][1:]
