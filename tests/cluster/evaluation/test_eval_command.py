"""`shoal eval`: a set of one's own is asked, judged and forgotten."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import run_shoal
from labelled_files import write_set
from waiting import until

from actors.errors import InvalidRequest, NotFound, UnusableModel
from cluster.evaluation.labelled import read_set
from cluster.evaluation.run import _own_collection, evaluate
from cluster.protocol import IngestChunk

ADDER = "def add(first, second):\n    return first + second\n\n\n" + "".join(
    f"def unlike_{n}():\n    return '{f'filler{n} ' * 50}'\n\n\n" for n in range(40)
)
DOCUMENTS = (
    {"id": "bread", "text": "Mix flour and water, and bake the dough.", "title": "A loaf"},
    {"id": "tax", "text": "The tax law of 1913."},
    {"id": "one/adder.py", "text": ADDER.replace("filler", "stuffing")},
    {"id": "two/adder.py", "text": ADDER},
)
QUESTIONS = (
    {"id": "baking", "text": "bake the dough"},
    {"id": "adding", "text": "add first second", "repo": "two"},
)
JUDGED = ("baking\tbread\t1", "adding\ttwo/adder.py\t2")


@pytest.fixture
def tiny(tmp_path):
    return write_set(tmp_path / "Tiny Set", DOCUMENTS, QUESTIONS, JUDGED)


def left_over(shoal):
    return [c.name for c in shoal.collections() if c.name.startswith("eval-")]


def test_a_set_is_asked_in_each_mode_and_its_collection_is_gone_afterwards(shoal, tiny):
    root, out = shoal.settings.root, tiny / "out.json"
    done = run_shoal("eval", str(tiny), "--json", "--out", str(out), "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document == json.loads(out.read_text())
    (one,) = document["evaluations"]
    assert (one["name"], one["model"]) == ("Tiny Set", "static:builtin")
    assert (one["questions"], one["documents"], one["chunks"] > 10) == (2, 4, True)
    assert list(one["modes"]) == ["hybrid", "semantic", "lexical"]
    for found in one["modes"].values():
        assert found["ndcg_at_10"] == found["recall_at_10"] == found["mrr_at_10"] == 1.0
        assert 0 < found["p50_ms"] <= found["p90_ms"]
        baking, adding = found["answers"]
        assert [ranked["id"] for ranked in adding["documents"]] == ["two/adder.py"]
        assert baking["documents"][0]["id"] == "bread"
    every = {ranked["id"] for ranked in one["modes"]["semantic"]["answers"][0]["documents"]}
    assert every == {document["id"] for document in DOCUMENTS}  # though a file has many chunks
    assert left_over(shoal) == []


def test_a_person_gets_a_table(shoal, tiny):
    done = run_shoal("eval", str(tiny), "--mode", "lexical", "--root", shoal.settings.root)
    heading, row = done.stdout.splitlines()
    assert heading.split()[-7:] == ["nDCG@10", "recall@10", "MRR@10", "p50", "ms", "p90", "ms"]
    assert row.split()[:8] == [
        "Tiny",
        "Set",
        "2",
        "4",
        "static:builtin",
        "lexical",
        "1.0000",
        "1.0000",
    ]


def test_what_cannot_be_done_is_refused_before_the_work(shoal, tiny):
    for given, said in (
        (("--mode", "vague"), "no mode"),
        (("--out", "no/where.json"), "no folder"),
    ):
        done = run_shoal("eval", str(tiny), *given, "--root", shoal.settings.root)
        assert done.returncode == 2
        assert said in done.stderr


@pytest.mark.parametrize("phase", ["publishing", "question 0"])
def test_one_that_is_broken_off_leaves_no_collection(shoal, tiny, phase):
    def interrupt(told):
        if phase in told:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(shoal, read_set(tiny), on_phase=interrupt)
    assert left_over(shoal) == []


def test_a_collection_that_appears_after_its_making_was_broken_off_is_deleted_then():
    tries = []

    class Client:
        def close(self):
            pass

        def delete(self, name):
            tries.append(name)
            if len(tries) < 3:
                raise NotFound(name)

    with pytest.raises(KeyboardInterrupt), _own_collection(Client(), "Tiny Set") as name:
        raise KeyboardInterrupt
    assert tries == [name] * 3
    assert name.startswith("eval-tiny-set-")


def test_one_that_is_ended_from_outside_leaves_no_collection(shoal, tiny):
    questions = [{**QUESTIONS[0], "id": f"q{n}"} for n in range(50_000)]
    write_set(tiny, DOCUMENTS, questions, [f"q{n}\tbread\t1" for n in range(50_000)])
    command = [Path(sys.executable).parent / "shoal", "eval", tiny, "--root", shoal.settings.root]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(lambda: left_over(shoal))
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 130
    assert left_over(shoal) == []


def test_chunks_are_embedded_by_the_model_that_their_caller_names(shoal):
    chunk = IngestChunk(path="a", text="b", signature="def frobnicate(it):")
    with pytest.raises(UnusableModel, match="nowhere"):
        shoal.ingest([chunk], collection="named", model="static:/nowhere")
    with pytest.raises(InvalidRequest, match="vectors of their own"):
        shoal.ingest([chunk], [[1.0, 2.0]], collection="named", model="static:builtin")
    shoal.ingest([chunk], collection="named", model="static:builtin")
    (hit,) = shoal.search("frobnicate", mode="lexical", collections=["named"]).hits
    assert (hit.path, hit.text) == ("a", "b")
