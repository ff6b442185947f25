"""Batch jobs: they make what `index` makes, take the place of a model or of shards, and say no."""

import os
import threading

import pytest
from command import run_shoal
from own_gateway import LIAR, own_gateway
from repositories import git
from waiting import until

from actors.catalog import Catalog
from actors.errors import Conflict, InvalidRequest, NotFound
from actors.storage import Storage
from cluster.protocol import IngestChunk

JOB_S = 180
pytestmark = pytest.mark.timeout(600)
"""Processes start time and again, which a busy machine takes minutes for."""


@pytest.fixture(scope="module")
def shoal(tmp_path_factory):
    top = tmp_path_factory.mktemp("reindex")
    with own_gateway(top / "root", PYTHONPATH=str(LIAR), SHOAL_SHARDS="2") as client:
        yield client


@pytest.fixture(scope="module")
def fleet(shoal, tmp_path_factory):
    """A folder that a batch job has indexed as `fleet`."""
    folder = tmp_path_factory.mktemp("fleet")
    for number in range(30):
        (folder / f"ship_{number}.md").write_text(f"# Ship {number}\n\nMasts of ship {number}.\n")
    (folder / "empty.md").write_text("")
    done = ended(shoal, shoal.reindex([folder], collection="fleet"))
    assert (done.state, done.files_changed, done.skipped) == ("done", 30, {"empty": 1})
    return folder


def ended(shoal, job):
    return until(lambda: (now := shoal.job(job.id)).state != "running" and now, JOB_S)


def manifest_of(shoal, collection):
    return Catalog(Storage(shoal.settings.root_uri)).get(collection)


def hits(shoal, collection, mode="hybrid"):
    found = shoal.search("masts of ship 7", collections=[collection], mode=mode, limit=30)
    return [(hit.path, hit.text, round(hit.score, 6)) for hit in found.hits]


def test_it_makes_what_index_makes(shoal, fleet):
    shoal.wait(shoal.index([fleet], collection="online"))
    for mode in ("semantic", "lexical"):
        by_batch, online = hits(shoal, "fleet", mode), hits(shoal, "online", mode)
        assert len(by_batch) == 30
        assert sorted(by_batch) == sorted(online)


def test_where_nothing_changed_nothing_is_published(shoal, fleet):
    before = manifest_of(shoal, "fleet")
    done = ended(shoal, shoal.reindex(collection="fleet"))
    assert (done.state, done.generation, done.chunks) == ("done", before.generation, 0)
    assert manifest_of(shoal, "fleet") == before


def test_changed_and_removed_files_are_followed(shoal, tmp_path):
    for number in range(4):
        (tmp_path / f"buoy_{number}.md").write_text(f"# Buoy {number}\n")
    ended(shoal, shoal.reindex([tmp_path], collection="buoys"))
    (tmp_path / "buoy_1.md").write_text("# Lantern\n")
    (tmp_path / "buoy_2.md").unlink()
    done = ended(shoal, shoal.reindex(collection="buoys"))
    assert (done.files_changed, done.files_unchanged, done.files_removed) == (1, 2, 1)
    found = shoal.search("lantern buoy", collections=["buoys"], limit=10).hits
    assert {hit.text for hit in found} == {"# Buoy 0", "# Lantern", "# Buoy 3"}


class Asking(threading.Thread):
    """Asks for what a collection means, on and on, and keeps all answers."""

    def __init__(self, shoal, collection):
        super().__init__(daemon=True)
        self._shoal, self._collection = shoal, collection
        self._ending = threading.Event()
        self.answers = []

    def run(self):
        while not self._ending.is_set():
            try:
                self.answers.append(hits(self._shoal, self._collection, "semantic"))
            except Exception as error:  # noqa: BLE001 - shown by the test
                self.answers.append(repr(error))

    def end(self):
        self._ending.set()
        self.join()


def test_another_model_takes_over_in_one_step(shoal, fleet, tmp_path):
    (tmp_path / "embed-nothing").touch()
    before = hits(shoal, "fleet", "semantic")
    asking = Asking(shoal, "fleet")
    asking.start()
    job = shoal.reindex(collection="fleet", model=f"lying:{tmp_path / 'embed-nothing'}")
    assert ended(shoal, job).state == "done"
    after = until(lambda: (now := hits(shoal, "fleet", "semantic")) != before and now)
    asking.end()
    assert {score for _, _, score in after} == {1.0}  # that model finds all texts alike
    changes = [b for a, b in zip(asking.answers, asking.answers[1:], strict=False) if a != b]
    assert asking.answers[0] == before
    assert changes in ([], [after])
    assert manifest_of(shoal, "fleet").model.engine == "lying"

    back = ended(shoal, shoal.reindex(collection="fleet", model="static:builtin", shards=3))
    assert (back.state, back.chunks) == ("done", 30)
    assert len(manifest_of(shoal, "fleet").shards) == 3
    assert until(lambda: hits(shoal, "fleet", "semantic") == before)


def test_a_model_that_is_not_there_leaves_all_as_it_was(shoal, fleet, tmp_path):
    before = manifest_of(shoal, "fleet")
    done = ended(shoal, shoal.reindex(collection="fleet", model=f"onnx:{tmp_path}/none"))
    assert (done.state, done.error_kind) == ("failed", "ModelLoadError")
    assert str(tmp_path) in done.error
    assert manifest_of(shoal, "fleet") == before


def test_a_file_that_its_parser_dies_of_costs_itself(shoal, tmp_path):
    for number in range(5):
        (tmp_path / f"fine_{number}.md").write_text(f"# Fine {number}\n")
    (tmp_path / "poison.py").write_text("/*\n" * 33_000)
    done = ended(shoal, shoal.reindex([tmp_path], collection="poisoned"))
    assert (done.state, done.files_done, done.skipped) == ("done", 6, {"cannot be parsed": 1})


def test_a_second_job_on_a_collection_is_refused(shoal, fleet, tmp_path):
    (tmp_path / "load-wait").touch()
    first = shoal.reindex(collection="fleet", model=f"lying:{tmp_path / 'load-wait'}")
    with pytest.raises(Conflict, match=first.id):
        shoal.reindex(collection="fleet")
    (tmp_path / "proceed").touch()
    assert ended(shoal, first).state == "done"
    assert ended(shoal, shoal.reindex(collection="fleet", model="static:builtin")).state == "done"


def test_what_was_published_meanwhile_is_in_it(shoal, tmp_path):
    source, model = tmp_path / "source", tmp_path / "model"
    for folder in (source, model):
        folder.mkdir()
    (source / "early.md").write_text("# Early bird\n")
    (model / "load-wait").touch()
    shoal.wait(shoal.index([source], collection="birds"))
    job = shoal.reindex(collection="birds", model=f"lying:{model / 'load-wait'}")
    until((model / "loads").exists, JOB_S)
    (source / "late.md").write_text("# Late bird\n")
    shoal.wait(shoal.index([source], collection="birds"))
    (model / "proceed").touch()

    done = ended(shoal, job)
    assert (done.state, done.error) == ("done", "")
    found = shoal.search("bird", collections=["birds"], mode="lexical").hits
    assert {hit.path for hit in found} == {"early.md", "late.md"}
    assert manifest_of(shoal, "birds").model.engine == "lying"
    assert done.chunks == 1  # the early one was embedded before


def test_a_repository_is_read_at_its_revision(shoal, tmp_path):
    git(tmp_path, "init", "--quiet")
    commits = []
    for name in ("alpha.md", "beta.md"):
        (tmp_path / name).write_text(f"# {name}\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", "-m", name)
        commits.append(git(tmp_path, "rev-parse", "HEAD"))
    address = f"git+file://{tmp_path}"
    first = ended(shoal, shoal.reindex([f"{address}@{commits[0]}"], collection="fetched"))
    assert (first.state, first.error, first.files_changed) == ("done", "", 1)
    assert manifest_of(shoal, "fetched").source == f"{address}@{commits[0]}#{commits[0]}"
    newest = ended(shoal, shoal.reindex([address], collection="fetched"))
    assert (newest.files_changed, newest.files_unchanged) == (1, 1)


def test_what_cannot_be_read_again_is_refused(shoal):
    shoal.ingest([IngestChunk(path="a", text="handed in")], collection="given")
    with pytest.raises(InvalidRequest, match="cannot read again"):
        shoal.reindex(collection="given")
    with pytest.raises(NotFound, match="no collection 'nowhere'"):
        shoal.reindex(collection="nowhere")
    with pytest.raises(InvalidRequest, match="name a collection"):
        shoal.reindex()


def test_the_command_follows_it_to_its_end(shoal, fleet):
    root = {**os.environ, "SHOAL_ROOT": shoal.settings.root}
    done = run_shoal("reindex", "--collection", "fleet", env=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "30 unchanged" in done.stdout
