"""The model is never trained on what it is judged by."""

import json
import os
from pathlib import Path

import pytest

from training import exclusion, gather
from training.pairs.pair import Pair
from training.pairs.python import pairs_of_python

FUNCTION = '''def close_stream(stream, timeout):
    """Close the stream once its buffers are written.

    Waits for the peer at most as long as the timeout says, then gives up on the connection.
    """
    while stream.pending and timeout.remaining_seconds() > 0:
        stream.flush_one_buffer(timeout=timeout)
    stream.connection.close()
'''
RUST = """/// Returns the number of tentacles that are held
/// by the squid at the given moment in time.
pub fn tentacles(&self) -> usize { self.held.len() }"""
QUESTION = "how long does a squid hold on to its prey?"


@pytest.fixture
def excluded(tmp_path):
    folder = tmp_path / "a-set"
    folder.mkdir()
    texts = [FUNCTION, RUST]
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (folder / "queries.dev.jsonl").write_text(json.dumps({"text": QUESTION}) + "\n")
    return exclusion.hashes_of_sets(tmp_path)


def test_every_pair_of_a_sets_function_is_left_out(excluded):
    pairs = list(pairs_of_python(FUNCTION, "package"))
    assert pairs
    assert not list(gather.admit(pairs, excluded))


@pytest.mark.parametrize(
    ("query", "passage"),
    [
        ("Close the stream once its buffers are written.", "something else altogether is here"),
        ("CLOSE THE STREAM, once its buffers are written", "something else altogether is here"),
        ("whatever else it may be that somebody asks", FUNCTION.partition('"""')[2]),
        (
            "whatever else it may be",
            "if x:\n  while stream.pending and timeout.remaining_seconds() > 0:\n",
        ),
        (
            "Returns the number of tentacles that are held by the squid at the given"
            " moment in time.",
            "def tentacles(): return 8",
        ),
        (QUESTION, "It holds on until the prey is eaten, as a rule."),
    ],
)
def test_a_pair_is_left_out_when_either_half_occurs_in_a_set(excluded, query, passage):
    assert not list(gather.admit([Pair("python", "package", query, passage)], excluded))


def test_other_pairs_stay(excluded):
    pair = Pair("python", "package", "Open a stream for reading.", "def open_stream(): return 1\n")
    assert [kept.passage for kept in gather.admit([pair], excluded)] == [pair.passage]


@pytest.mark.parametrize(
    "name",
    [
        "fastapi",
        "FastAPI",
        "golang-github-gin-gonic-gin-dev",
        "liblog4cxx-dev",
        "librust-alacritty-terminal-dev",
        "model2vec",
    ],
)
def test_packages_that_sets_ask_about_are_known(name):
    assert exclusion.is_excluded_package(name)


@pytest.mark.parametrize("name", ["flask", "numpy", "golang-golang-x-net-dev", "engine", "gingko"])
def test_other_packages_are_let_in(name):
    assert not exclusion.is_excluded_package(name)


def test_no_source_is_a_package_that_sets_ask_about():
    names = gather.archives.read_sources(gather.HERE / "sources.txt")
    assert not [n for n in (*names["pypi"], *names["debian"]) if exclusion.is_excluded_package(n)]


def test_the_hashes_that_are_committed_cover_the_sets():
    shared = Path(os.environ.get("SHOAL_SHARED") or gather.HERE.parent.parent / "shared")
    if not (shared / "eval").is_dir():
        pytest.skip(f"no sets in {shared}: set SHOAL_SHARED to the folder that holds eval/")
    assert exclusion.hashes_of_sets(shared / "eval") <= exclusion.read()
