"""A folder goes in, answers come out; what changes is changed, what is gone is gone."""

import os
import sysconfig

import numpy as np
import pytest

from actors.errors import InvalidRequest, ModelMismatch, NotFound
from cluster.client import AsyncShoalClient
from cluster.protocol import IngestChunk

QUERY = "drop the least recently used entry"


def embedded(shoal):
    """Return how many texts the model has embedded so far."""
    status = shoal.status()
    return sum(r.detail["texts"] for r in status.replicas if r.kind == "Embedder")


def paths(answer):
    return [hit.path for hit in answer.hits]


@pytest.fixture(scope="module")
def standard_library(gateway):
    from cluster.client import ShoalClient

    with ShoalClient(root=gateway.root) as shoal:
        job = shoal.index([sysconfig.get_path("stdlib")], collection="stdlib")
        assert shoal.wait(job).state == "done"
    return "stdlib"


@pytest.mark.parametrize(
    ("question", "files"),
    [
        ("parse http cookie header", {"http/cookies.py", "http/cookiejar.py"}),
        ("LRU cache decorator", {"functools.py"}),
    ],
)
def test_questions_about_the_standard_library_find_their_file(
    shoal, standard_library, question, files
):
    answer = shoal.search(question, collections=[standard_library])
    assert files & set(paths(answer)[:5])
    assert answer.coverage == 1.0


def second_calls(shoal):
    """Return how often routers had to ask for text that no shard had sent along."""
    return sum(r.detail.get("second_hops", 0) for r in shoal.status().replicas)


def test_the_text_of_an_ordinary_search_comes_with_the_first_call(shoal, standard_library):
    before = second_calls(shoal)
    for question in ("parse http cookie header", "LRU cache decorator", "open a zip file"):
        for mode in ("hybrid", "semantic", "lexical"):
            for limit in (1, 10, 50):
                found = shoal.search(
                    question, mode=mode, limit=limit, collections=[standard_library]
                )
                assert found.hits
    assert second_calls(shoal) == before


def test_a_hit_names_the_very_lines_it_shows(shoal, standard_library):
    top = sysconfig.get_path("stdlib")
    for hit in shoal.search("read lines of a file", collections=[standard_library]).hits:
        with open(os.path.join(top, hit.path), encoding="utf-8") as file:
            lines = file.read().split("\n")
        assert hit.text == "\n".join(lines[hit.start_line - 1 : hit.end_line])


def test_context_widens_every_hit_by_the_files_own_lines(shoal, standard_library):
    top = sysconfig.get_path("stdlib")
    plain = shoal.search("bisect right", collections=[standard_library], limit=3).hits
    wide = shoal.search("bisect right", collections=[standard_library], limit=3, context=4).hits
    for narrow, hit in zip(plain, wide, strict=True):
        with open(os.path.join(top, hit.path), encoding="utf-8") as file:
            lines = file.read().split("\n")
        assert hit.start_line == max(1, narrow.start_line - 4)
        assert hit.text == "\n".join(lines[hit.start_line - 1 : hit.end_line])


def test_semantic_and_lexical_are_that_alone(shoal, folder):
    shoal.wait(shoal.index([folder], collection="modes"))
    found = shoal.search("ParseCookie", mode="lexical", collections=["modes"])
    assert paths(found) == ["src/http.go"]
    assert shoal.search("zebra", mode="lexical", collections=["modes"]).hits == ()
    by_meaning = shoal.search("zebra", mode="semantic", collections=["modes"]).hits
    assert all(-1 <= hit.score <= 1 for hit in by_meaning)
    assert len(by_meaning) > 0


def test_filters_are_applied_before_ranking(shoal, folder):
    shoal.wait(shoal.index([folder], collection="filters"))
    one = {"collections": ["filters"]}
    assert paths(shoal.search(QUERY, languages=["go"], **one)) == ["src/http.go"]
    assert set(paths(shoal.search(QUERY, paths=["*.md"], **one))) == {"README.md"}
    assert set(paths(shoal.search(QUERY, paths=["src/"], **one))) == {"src/cache.py", "src/http.go"}


def test_an_unchanged_tree_is_neither_embedded_nor_published_again(shoal, folder):
    first = shoal.wait(shoal.index([folder], collection="same"))
    before = embedded(shoal)
    second = shoal.wait(shoal.index([folder], collection="same"))
    assert second.files_unchanged == first.files_total == 4
    assert (second.chunks, second.generation) == (0, first.generation)
    assert embedded(shoal) == before


def test_changed_new_and_removed_files_are_what_searches_see_next(shoal, folder):
    shoal.wait(shoal.index([folder], collection="edits"))
    (folder / "src/cache.py").write_text("def shuffle(deck):\n    return reversed(deck)\n")
    (folder / "src/http.go").unlink()
    (folder / "new.md").write_text("# Zebra crossing\n")
    before = embedded(shoal)
    job = shoal.wait(shoal.index([folder], collection="edits"))
    assert (job.generation, job.files_removed, job.files_unchanged) == (2, 1, 2)
    assert embedded(shoal) - before == job.chunks == 2
    one = {"collections": ["edits"], "mode": "lexical"}
    assert shoal.search("least recently", **one).hits == ()
    assert shoal.search("ParseCookie", **one).hits == ()
    assert paths(shoal.search("shuffle", **one)) == ["src/cache.py"]
    assert paths(shoal.search("zebra", **one)) == ["new.md"]


def test_a_part_can_be_brought_up_to_date_alone(shoal, folder):
    shoal.wait(shoal.index([folder], collection="part"))
    (folder / "src/cache.py").write_text("def alpaca():\n    pass\n")
    (folder / "README.md").unlink()
    job = shoal.wait(shoal.index([folder / "src"]))
    assert (job.collection, job.files_total, job.files_removed) == ("part", 2, 0)
    one = {"collections": ["part"], "mode": "lexical"}
    assert paths(shoal.search("alpaca", **one)) == ["src/cache.py"]
    assert paths(shoal.search("installer", **one)) == ["README.md"]


def test_ignored_files_are_counted_and_not_indexed(shoal, folder):
    job = shoal.wait(shoal.index([folder], collection="ignored"))
    assert job.skipped == {"ignored": 1}
    assert shoal.search("indexed", mode="lexical", collections=["ignored"]).hits == ()


def test_all_collections_are_searched_as_one_corpus(shoal, tmp_path):
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.md").write_text(f"# Quokka {name}\n")
        shoal.wait(shoal.index([tmp_path / name], collection=f"corpus-{name}"))
    both = ["corpus-left", "corpus-right"]
    answer = shoal.search("quokka", mode="lexical", collections=both)
    assert {hit.collection for hit in answer.hits} == set(both)
    assert len({hit.score for hit in answer.hits}) == 1
    assert {c.name for c in answer.collections} == set(both)


def test_without_a_name_a_folder_keeps_its_collection(shoal, folder):
    first = shoal.wait(shoal.index([folder]))
    assert first.collection == "project"
    assert shoal.wait(shoal.index([folder])).generation == first.generation
    shoal.delete("project")


def test_a_deleted_collection_is_gone(shoal, folder):
    shoal.wait(shoal.index([folder], collection="gone"))
    shoal.delete("gone")
    assert "gone" not in {c.name for c in shoal.collections()}
    with pytest.raises(NotFound, match="no collection 'gone'"):
        shoal.search("x", collections=["gone"])


class TestOwnVectors:
    CHUNKS = tuple(IngestChunk(path=f"doc{n}", text=f"number {n}") for n in range(5))

    def test_are_searched_by_a_vector(self, shoal):
        vectors = np.eye(5, 16, dtype=np.float32)
        reply = shoal.ingest(self.CHUNKS, vectors, collection="own")
        assert (reply.chunks, reply.generation) == (5, 1)
        answer = shoal.search(mode="semantic", vector=vectors[3], collections=["own"], limit=1)
        assert paths(answer) == ["doc3"]
        assert answer.hits[0].score == pytest.approx(1.0)

    def test_cannot_be_searched_by_a_text_of_another_model(self, shoal):
        shoal.ingest(self.CHUNKS, [[1.0, 2.0]] * 5, collection="two-d")
        with pytest.raises(ModelMismatch, match=r"give the query's vector.*mode lexical"):
            shoal.search("number", collections=["two-d"])
        answer = shoal.search("number 3", mode="lexical", collections=["two-d"], limit=1)
        assert paths(answer) == ["doc3"]

    def test_must_have_the_collections_dimension(self, shoal):
        shoal.ingest(self.CHUNKS, [[1.0, 2.0]] * 5, collection="dims")
        with pytest.raises(ModelMismatch, match="holds vectors of"):
            shoal.ingest(self.CHUNKS, [[1.0, 2.0, 3.0]] * 5, collection="dims")
        with pytest.raises(InvalidRequest, match="3 dimensions"):
            shoal.search(mode="semantic", vector=[1, 2, 3], collections=["dims"])

    def test_and_embedded_ones_do_not_mix(self, shoal):
        vectors = [[1.0, 2.0]] * 4 + [[1.0]]
        with pytest.raises(InvalidRequest, match="line 5: a vector of 1"):
            shoal.ingest(self.CHUNKS, vectors, collection="mixed")
        with pytest.raises(NotFound):
            shoal.search("number", mode="lexical", collections=["mixed"])

    def test_a_collection_that_a_search_of_all_cannot_use_is_named(self, shoal, folder):
        shoal.ingest(self.CHUNKS, [[1.0, 2.0]] * 5, collection="foreign")
        shoal.wait(shoal.index([folder], collection="native"))
        answer = shoal.search(QUERY)
        left_out = {c.name: c.problem for c in answer.collections if c.coverage == 0}
        assert "give the query's vector" in left_out["foreign"]
        assert answer.coverage < 1
        assert "src/cache.py" in paths(answer)

    def test_without_vectors_the_gateways_model_embeds(self, shoal):
        texts = ("a recipe for bread", "how to bake a loaf", "tax law of 1913")
        chunks = [IngestChunk(path=f"{n}", text=text) for n, text in enumerate(texts)]
        shoal.ingest(chunks, collection="handed-in")
        answer = shoal.search("baking", mode="semantic", collections=["handed-in"], limit=2)
        assert set(paths(answer)) == {"0", "1"}

    def test_the_chunks_of_a_path_replace_all_that_was_stored_for_it(self, shoal):
        shoal.ingest(self.CHUNKS, collection="upsert")
        shoal.ingest([IngestChunk(path="doc1", text="replaced")], collection="upsert")
        found = shoal.search("number", mode="lexical", collections=["upsert"])
        assert set(paths(found)) == {"doc0", "doc2", "doc3", "doc4"}
        by_name = {c.name: c for c in shoal.collections()}
        assert by_name["upsert"].chunks == 5


async def test_the_async_client_does_the_same(gateway, folder):
    async with AsyncShoalClient(root=gateway.root) as shoal:
        job = await shoal.wait(await shoal.index([folder], collection="async"))
        assert job.state == "done"
        answer = await shoal.search(QUERY, collections=["async"], limit=1)
        assert paths(answer) == ["src/cache.py"]


def test_context_never_replaces_the_text_of_a_chunk_that_was_handed_in(shoal):
    both = ("first question\nits answer", "second question")
    chunks = [IngestChunk(path="faq", text=text) for text in both]
    shoal.ingest(chunks, collection="faq")
    found = shoal.search("question", mode="lexical", collections=["faq"], context=5)
    assert {hit.text for hit in found.hits} == set(both)


def test_a_collection_that_mirrors_a_folder_takes_no_chunks_of_others(shoal, folder):
    shoal.wait(shoal.index([folder], collection="mirror"))
    with pytest.raises(InvalidRequest, match="take another collection"):
        shoal.ingest([IngestChunk(path="x", text="y")], collection="mirror")


def test_a_collection_named_twice_is_searched_once(shoal, folder):
    shoal.wait(shoal.index([folder], collection="twice"))
    once = shoal.search("install", collections=["twice"])
    assert shoal.search("install", collections=["twice", "twice"]).hits == once.hits
