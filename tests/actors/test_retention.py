"""Old generations go, and what anybody may still need stays, whatever the order of things."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import retention
from actors.catalog import Catalog
from actors.drafts import Drafted, Drafts, record_draft
from actors.engines.base import Fingerprint
from actors.errors import Conflict, CorruptData, NotFound
from actors.index.merging import WRITER, merge_segments, merged_since, put_in_place
from actors.index.verify import verify_segment
from actors.index.writing import bury, chunk_block, write_segment
from actors.leases import Leases
from actors.messages import Chunk, SegmentRef
from actors.retention import KEPT_GENERATIONS, ORPHAN_GRACE, SUPERSEDED, Cleaner, go_back
from actors.storage import Storage

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)
OTHER_MODEL = replace(MODEL, weights="1" * 16)
LONG = timedelta(days=2)


class Root:
    """A storage root, a clock that stands still until it is told, and one collection."""

    def __init__(self, folder):
        self.now = datetime.now(UTC)
        self.storage = Storage(str(folder))
        self.catalog = Catalog(self.storage, lambda: self.now)
        self.leases = Leases(self.storage, lambda: self.now)
        self.cleaner = Cleaner(self.storage, lambda: self.now)
        self._ids = count()

    def publish(self, *segments, writer="job", model=MODEL):
        base = self.catalog.find("c") or self.catalog.new("c", model, 1, "/src")
        return self.catalog.publish(
            replace(base, shards=(tuple(segments),), writer=writer, model=model)
        )

    def some(self, segments, writer="job"):
        return [self.publish(segment, writer=writer) for segment in segments]

    def segment(self):
        """Write the file of a segment that nobody reads."""
        name = f"s{next(self._ids)}"
        self.storage.put(f"collections/c/segments/{name}/files.arrow", b"x")
        return SegmentRef(name, 1, 1)

    @property
    def segments(self):
        return set(self.storage.names("collections/c/segments"))


@pytest.fixture
def root(tmp_path):
    return Root(tmp_path / "root")


def test_the_newest_generations_are_kept_and_the_files_of_others_go(root):
    published = [root.publish(root.segment()) for _ in range(KEPT_GENERATIONS + 3)]
    root.now += LONG
    gone = root.cleaner.clean("c")
    kept = published[-KEPT_GENERATIONS:]
    assert root.catalog.all("c") == kept
    assert root.segments == {m.shards[0][0].id for m in kept}
    assert gone == [
        *(f"generation {number} of c" for number in (1, 2, 3)),
        *(f"collections/c/segments/s{number}" for number in (0, 1, 2)),
    ]
    assert root.cleaner.clean("c") == []


def test_what_merges_publish_does_not_count(root):
    for _ in range(KEPT_GENERATIONS):
        root.publish(root.segment())
        root.publish(root.segment(), writer=WRITER)
    before = root.catalog.numbers("c")
    root.now += LONG
    assert root.cleaner.clean("c") == []
    root.publish(root.segment())
    root.now += LONG
    root.cleaner.clean("c")
    assert root.catalog.numbers("c") == [*before[2:], before[-1] + 1]


def test_a_generation_stays_for_a_while_after_the_next_one(root):
    for _ in range(KEPT_GENERATIONS + 1):
        root.publish(root.segment())
    root.now += SUPERSEDED
    assert root.cleaner.clean("c") == []
    root.now += timedelta(seconds=1)
    assert root.cleaner.clean("c") == ["generation 1 of c"]
    root.now += ORPHAN_GRACE
    assert root.cleaner.clean("c") == ["collections/c/segments/s0"]


def test_a_leased_generation_stays_with_its_files_until_the_lease_ends(root):
    for _ in range(KEPT_GENERATIONS + 3):
        root.publish(root.segment())
    root.now += LONG
    root.leases.take("c", "reader", 2)
    root.cleaner.clean("c")
    assert root.catalog.numbers("c")[:2] == [2, 4]
    assert "s1" in root.segments
    root.now += LONG
    root.cleaner.clean("c")
    assert root.catalog.numbers("c")[0] == 4
    assert "s1" not in root.segments


def test_what_was_before_a_deletion_goes_and_the_deletion_with_it(root):
    root.publish(root.segment())
    root.catalog.delete("c")
    root.cleaner.clean("c")
    assert root.catalog.numbers("c") == [1, 2]
    root.now += LONG
    root.cleaner.clean("c")
    assert root.catalog.numbers("c") == [2]
    root.publish(root.segment())
    root.now += LONG
    root.cleaner.clean("c")
    assert root.catalog.numbers("c") == [3]
    assert root.segments == {"s1"}


def test_a_deletion_stays_as_long_as_anything_before_it(root):
    root.publish(root.segment())
    root.catalog.delete("c")
    root.publish(root.segment())
    root.now += LONG
    root.leases.take("c", "reader", 1)
    root.cleaner.clean("c")
    assert root.catalog.numbers("c") == [1, 2, 3]
    with pytest.raises(NotFound, match="was deleted with generation 2"):
        root.catalog.retained("c", 1)


def test_nothing_is_removed_where_a_lease_is_on_a_generation_that_nobody_knows(root):
    root.publish(root.segment())
    root.segment()
    root.now += LONG
    root.leases.take("c", "reader", 7)
    assert root.cleaner.clean("c") == []
    root.leases.release("c", "reader")
    assert root.cleaner.clean("c") == ["collections/c/segments/s1"]


def test_what_a_job_has_drafted_is_no_orphan(root):
    root.publish(root.segment())
    drafted = root.segment()
    drafts = Drafts(root.storage, "c", "work")
    record_draft(root.storage, drafts.folder, Drafted(0, drafted))
    root.now += LONG
    assert root.cleaner.clean("c") == []
    drafts.clear()
    assert root.cleaner.clean("c") == [f"collections/c/segments/{drafted.id}"]


class Killed(Exception):
    """The process ended here."""


@pytest.mark.parametrize("removals", range(7))
def test_a_clean_up_that_dies_leaves_every_manifest_with_its_files(root, monkeypatch, removals):
    for _ in range(KEPT_GENERATIONS + 3):
        root.publish(root.segment())
    root.now += LONG
    left = [removals]

    def dying(remove):
        def step(name):
            if not left[0]:
                raise Killed
            left[0] -= 1
            remove(name)

        return step

    with monkeypatch.context() as patched:
        for name in ("remove", "delete"):
            patched.setattr(root.storage, name, dying(getattr(root.storage, name)))
        try:
            root.cleaner.clean("c")
        except Killed:
            pass
        else:
            assert removals == 6  # three manifests, then three segments
    assert {s.id for m in root.catalog.all("c") for s in m.segments} <= root.segments
    root.cleaner.clean("c")
    assert len(root.catalog.numbers("c")) == len(root.segments) == KEPT_GENERATIONS


def age(root, **time):
    """Let the files of all manifests be older, by the clock of the storage."""
    folder = root.storage.cache("collections/c/manifests")
    for file in folder.iterdir():
        changed = file.stat().st_mtime - timedelta(**time).total_seconds()
        os.utime(file, (changed, changed))


def test_a_late_writer_whose_number_was_removed_is_told(root):
    base = root.publish(root.segment())
    for _ in range(KEPT_GENERATIONS + 3):
        root.publish(root.segment())
    root.now += LONG
    root.cleaner.clean("c")
    assert 2 not in root.catalog.numbers("c")
    before = root.catalog.all("c")
    with pytest.raises(Conflict, match=r"\(generation 14 exists\); run this again"):
        root.catalog.publish(replace(base, writer="late"))
    assert merged_since(root.catalog, base) is None
    assert root.catalog.all("c") == before


def test_a_writer_that_stands_still_just_before_it_publishes_is_told(root, monkeypatch):
    """It has seen that its base is the newest; then a day passes, and its number is free again."""
    base = root.publish(root.segment())
    put_new = root.storage.put_new

    def put_late(name, data):
        monkeypatch.setattr(root.storage, "put_new", put_new)
        for _ in range(KEPT_GENERATIONS + 3):
            root.publish(root.segment())
        root.now += LONG
        age(root, days=2)
        root.cleaner.clean("c")
        assert 2 not in root.catalog.numbers("c")
        put_new(name, data)

    monkeypatch.setattr(root.storage, "put_new", put_late)
    with pytest.raises(Conflict, match="generation 14 exists"):
        root.catalog.publish(replace(base, writer="late"))
    assert root.catalog.numbers("c") == list(range(5, 15))


def test_a_writer_whom_others_follow_at_once_has_published(root, monkeypatch):
    base = root.publish(root.segment())
    put_new = root.storage.put_new

    def put_and_be_followed(name, data):
        monkeypatch.setattr(root.storage, "put_new", put_new)
        put_new(name, data)
        root.publish(root.segment())

    monkeypatch.setattr(root.storage, "put_new", put_and_be_followed)
    assert root.catalog.publish(replace(base, writer="first")).generation == 2
    assert [m.writer for m in root.catalog.all("c")] == ["job", "first", "job"]


def test_numbers_keep_rising_after_old_ones_are_gone(root):
    for number in range(1, 30):
        assert root.publish(root.segment()).generation == number
        root.now += LONG
        root.cleaner.clean("c")


def test_a_manifest_that_is_removed_while_manifests_are_read_is_left_out(root, monkeypatch):
    published = [root.publish(root.segment()) for _ in range(3)]
    read = root.storage.read

    def read_once_gone(name):
        root.storage.remove(f"collections/c/manifests/{2:08}.json")
        return read(name)

    monkeypatch.setattr(root.storage, "read", read_once_gone)
    assert root.catalog.all("c") == [published[0], published[2]]
    assert root.catalog.since(published[0]) == [published[2]]


def test_going_back_publishes_the_old_content_and_model_as_a_new_generation(root):
    old = root.publish(root.segment())
    root.publish(root.segment(), model=OTHER_MODEL)
    back = go_back(root.catalog, root.catalog.retained("c", 1), 2)
    assert (back.generation, back.shards, back.model) == (3, old.shards, MODEL)
    assert back.writer == "rollback to 1"
    assert root.catalog.get("c") == back


def test_going_back_passes_over_merges_and_gives_way_to_other_writers(root):
    old = root.publish(root.segment())
    root.publish(root.segment())
    root.publish(root.segment(), writer=WRITER)
    assert go_back(root.catalog, old, 2).generation == 4
    root.publish(root.segment())
    with pytest.raises(Conflict, match="another writer"):
        go_back(root.catalog, old, 4)


def test_a_damaged_newest_manifest_can_be_gone_back_from(root):
    root.publish(root.segment())
    root.publish(root.segment())
    root.storage.put(f"collections/c/manifests/{2:08}.json", b"{")
    with pytest.raises(CorruptData):
        root.catalog.get("c")
    assert go_back(root.catalog, root.catalog.retained("c", 1), 2).generation == 3
    assert root.catalog.get("c").writer == "rollback to 1"


def test_a_generation_that_was_never_there_or_is_gone_is_refused_with_those_there_are(root):
    for _ in range(3):
        root.publish(root.segment())
    root.catalog.remove(root.catalog.retained("c", 1))
    for generation in (1, 4):
        with pytest.raises(NotFound, match=rf"generation {generation} of 'c' .*: 2, 3$"):
            root.catalog.retained("c", generation)
    with pytest.raises(NotFound, match="no collection 'd'"):
        root.catalog.retained("d", 1)


@pytest.mark.parametrize("removed_first", [False, True])
def test_a_restored_generation_is_safe_from_a_clean_up_under_way(root, monkeypatch, removed_first):
    """It is published, and the lease let go of, just after that looked at the manifests."""
    old = root.publish(root.segment())
    for _ in range(KEPT_GENERATIONS + 1):
        root.publish(root.segment())
    root.now += LONG
    root.leases.take("c", "rollback", 1)
    root.catalog.retained("c", 1)
    if removed_first:  # by another clean-up, that had not seen the lease
        root.catalog.remove(old)
    look = root.cleaner._catalog.all

    def look_once(collection):
        monkeypatch.setattr(root.cleaner._catalog, "all", look)
        seen = look(collection)
        go_back(root.catalog, old, root.catalog.numbers("c")[-1])
        root.catalog.remove(old)
        root.leases.release("c", "rollback")
        return seen

    monkeypatch.setattr(root.cleaner._catalog, "all", look_once)
    root.cleaner.remove_orphans("c", ORPHAN_GRACE)
    assert old.shards[0][0].id in root.segments


STEPS = st.lists(
    st.one_of(
        st.just(("publish", 0)),
        st.just(("bury", 0)),
        st.just(("merge", 0)),
        st.just(("clean", 0)),
        st.just(("orphan", 0)),
        st.tuples(st.just("rollback"), st.integers(0, 12)),
        st.tuples(st.just("lease"), st.integers(0, 12)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 2, 30])),
    ),
    min_size=15,
    max_size=40,
)


class Life:
    """A collection with real segments, to which things happen."""

    def __init__(self, folder):
        self.root = Root(folder)
        self.root.publish(self._written())

    def _written(self):
        chunks = [Chunk(f"{self.root.now}/{n}.py", 1, 1, "python", "", f"f{n}") for n in range(3)]
        block = chunk_block("c", chunks, ["h"] * 3)
        return write_segment(self.root.storage, "c", [block], [np.eye(3, 4, dtype=np.float32)])

    def publish(self, _):
        self.root.publish(*self.root.catalog.get("c").segments, self._written())

    def bury(self, _):
        first, *rest = self.root.catalog.get("c").segments
        if first.removed_rows < first.rows - 1:
            dead = np.arange(first.removed_rows + 1, dtype=np.uint32)
            self.root.publish(bury(self.root.storage, "c", first, dead), *rest)

    def merge(self, _):
        base = self.root.catalog.get("c")
        sources = base.shards[0][:3]
        merged, living = merge_segments(self.root.storage, "c", sources)
        put_in_place(self.root.storage, base, 0, sources, merged, living)

    def orphan(self, _):
        self._written()

    def rollback(self, place):
        numbers = self.root.catalog.numbers("c")
        old = self.root.catalog.retained("c", numbers[place % len(numbers)])
        go_back(self.root.catalog, old, numbers[-1])

    def lease(self, place):
        numbers = self.root.catalog.numbers("c")
        self.root.leases.take("c", f"reader-{place % 2}", numbers[place % len(numbers)])

    def wait(self, hours):
        self.root.now += timedelta(hours=hours)

    def clean(self, _):
        numbers, held = self.root.catalog.numbers("c"), self.root.leases.held("c")
        self.root.cleaner.clean("c")
        left = self.root.catalog.numbers("c")
        assert left[-1] == numbers[-1]
        assert set(held) & set(numbers) <= set(left)

    def check(self):
        """Verify whatever may be read or gone back to."""
        segments = {ref for manifest in self.root.catalog.all("c") for ref in manifest.segments}
        for ref in segments:
            assert list(verify_segment(self.root.storage, "c", ref, 4)) == []


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_nothing_that_can_be_read_or_gone_back_to_is_ever_removed(tmp_path_factory, steps):
    life = Life(tmp_path_factory.mktemp("life"))
    with patch.object(retention, "KEPT_GENERATIONS", 3):  # else hardly any would go
        for step, detail in steps:
            getattr(life, step)(detail)
            if step == "clean":
                life.check()
        life.clean(0)
    life.check()


def test_in_a_long_life_storage_does_not_grow(tmp_path):
    """Each round publishes, merges and cleans; what the last rounds need is all that is left."""
    life = Life(tmp_path)
    sizes = []
    for _ in range(3 * KEPT_GENERATIONS):
        life.publish(0)
        life.merge(0)
        life.wait(30)
        life.clean(0)
        sizes.append(len(life.root.segments))
    life.check()
    assert max(sizes) == max(sizes[: KEPT_GENERATIONS + 2])
