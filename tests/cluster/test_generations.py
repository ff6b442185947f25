"""History, verification and rollback through a real gateway, from Python and at a terminal."""

import itertools
import json

import pytest
from command import run_shoal
from own_gateway import own_gateway
from waiting import until

from actors.catalog import Catalog
from actors.errors import CorruptData, InvalidRequest, NotFound
from actors.leases import Leases
from actors.storage import Storage

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    return tmp_path_factory.mktemp("generations")


@pytest.fixture(scope="module")
def shoal(top):
    with own_gateway(top / "root", SHOAL_SHARDS="1") as client:
        yield client


@pytest.fixture
def storage(top):
    return Storage(str(top / "root"))


@pytest.fixture
def name(shoal, tmp_path):
    """A collection of two generations: first of zebras, then of llamas beside them."""
    name = f"animals-{next(_NUMBERS)}"
    (tmp_path / "zebra.md").write_text("# A zebra crossing\n")
    shoal.wait(shoal.index([tmp_path], collection=name))
    (tmp_path / "llama.md").write_text("# A llama farm\n")
    shoal.wait(shoal.index([tmp_path], collection=name))
    return name


def paths(shoal, name, query):
    return [hit.path for hit in shoal.search(query, mode="lexical", collections=[name]).hits]


def run(top, *args):
    return run_shoal("collections", *map(str, args), "--root", str(top / "root"))


def hurt(storage, name):
    """Flip a byte of the newest generation's last segment; return its id."""
    *_, ref = Catalog(storage).get(name).segments
    path = storage.cache(f"collections/{name}/segments/{ref.id}/lexical/rows.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    return ref.id


def test_a_rollback_serves_what_was_and_indexing_goes_on_from_there(shoal, name, tmp_path):
    assert paths(shoal, name, "llama") == ["llama.md"]
    back = shoal.rollback(name, 1)
    assert (back.generation, back.served, back.chunks) == (3, True, 1)
    assert paths(shoal, name, "llama") == []
    assert paths(shoal, name, "zebra") == ["zebra.md"]
    job = shoal.wait(shoal.index([tmp_path], collection=name))
    assert (job.generation, job.files_changed) == (4, 1)
    assert paths(shoal, name, "llama") == ["llama.md"]


def test_the_history_names_what_is_served_and_who_holds_it(shoal, name):
    newest, first = shoal.history(name)
    assert (newest.generation, newest.chunks, newest.served) == (2, 2, True)
    assert (first.generation, first.chunks, first.served, first.leases) == (1, 1, False, 0)
    assert "static" in newest.model
    until(lambda: shoal.history(name)[0].leases == 1)
    shoal.rollback(name, 1)
    until(lambda: [g.leases for g in shoal.history(name)] == [1, 0, 0])


def test_what_is_sound_passes_and_no_lease_is_left_over(shoal, name, storage):
    verified = shoal.verify(name)
    assert (verified.generation, verified.chunks, verified.findings) == (2, 2, ())
    assert shoal.verify(name, 1).segments == 1
    assert Leases(storage).held(name)[1] == 0


def test_damage_is_found_and_the_way_out_leads_out(shoal, name, storage, top):
    segment = hurt(storage, name)
    (finding,) = shoal.verify(name).findings
    assert finding.segment == segment
    assert finding.what == "lexical/rows.npy is not what was written"
    assert finding.way_out == f"roll back with `shoal collections rollback {name} 1`"
    assert run(top, *finding.way_out.split("`")[1].split()[2:]).returncode == 0
    assert shoal.verify(name).findings == ()
    with pytest.raises(CorruptData, match=f"generation 2 of .*damaged.*{segment}.*does without it"):
        shoal.rollback(name, 2)
    assert shoal.history(name)[0].generation == 3


def test_a_generation_that_cannot_be_gone_back_to_is_refused(shoal, name):
    for generation, error, said in (
        (2, InvalidRequest, "generation 2 of .* is what is served already"),
        (7, NotFound, "generation 7 of .* is not kept; there are: 1, 2"),
        (0, InvalidRequest, "greater than or equal to 1"),
    ):
        with pytest.raises(error, match=said):
            shoal.rollback(name, generation)
    assert len(shoal.history(name)) == 2


def test_a_deleted_collection_says_so(shoal, name):
    shoal.delete(name)
    for ask in (lambda: shoal.rollback(name, 1), lambda: shoal.verify(name, 1)):
        with pytest.raises(NotFound, match="was deleted with generation 3"):
            ask()
    with pytest.raises(NotFound, match="no collection"):
        shoal.history(name)
    with pytest.raises(InvalidRequest, match="cannot name a collection"):
        shoal.history("Docs")


def test_the_command_line_tells_sound_from_damaged(shoal, name, storage, top):
    listed = json.loads(run(top, "--json").stdout)
    assert name in [collection["name"] for collection in listed]
    history = run(top, "history", name)
    assert history.returncode == 0
    assert [line.split()[0] for line in history.stdout.splitlines()] == ["generation", "2", "1"]
    sound = run(top, "verify", name)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "2 chunks in 2 segments: all is as it was written" in sound.stdout
    segment = hurt(storage, name)
    damaged = run(top, "verify", name)
    assert damaged.returncode == 1
    assert f"segment {segment}: lexical/rows.npy is not what was written" in damaged.stdout
    assert f"roll back with `shoal collections rollback {name} 1`" in damaged.stdout
    assert run(top, "verify", name, "--generation", 1).returncode == 0
    assert len(json.loads(run(top, "verify", name, "--json").stdout)["findings"]) == 1
    done = run(top, "rollback", name, 1)
    assert done.stdout == f"{name}: generation 3 holds what 1 held, 1 chunks\n"
