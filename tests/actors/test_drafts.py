"""What a job has written and not published is kept for the next try, and not for ever."""

from datetime import UTC, datetime, timedelta

import pytest

from actors.drafts import KEPT, Drafted, Drafts, drafted_segments, record_draft
from actors.messages import SegmentRef
from actors.retention import ORPHAN_GRACE, Cleaner
from actors.storage import Storage

DRAFTED = Drafted(3, SegmentRef("f00d", 10, 70))


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


@pytest.fixture
def drafts(storage):
    return Drafts(storage, "pond", "/src", "model", 8)


def test_the_same_work_finds_it_and_other_work_does_not(storage, drafts):
    record_draft(storage, drafts.folder, DRAFTED)
    assert Drafts(storage, "pond", "/src", "model", 8).all() == [DRAFTED]
    assert Drafts(storage, "pond", "/src", "other model", 8).all() == []
    assert Drafts(storage, "lake", "/src", "model", 8).all() == []


def test_a_record_that_was_cut_off_is_passed_over(storage, drafts, tmp_path):
    record_draft(storage, drafts.folder, DRAFTED)
    (tmp_path / drafts.folder / "dead.json").write_text('{"shard": 3, "seg')
    assert drafts.all() == [DRAFTED]


def test_what_was_published_is_forgotten(storage, drafts):
    record_draft(storage, drafts.folder, DRAFTED)
    drafts.clear()
    assert drafts.all() == []


@pytest.mark.parametrize(("age", "left"), [(KEPT, ["f00d"]), (2 * KEPT, [])])
def test_its_segments_are_no_orphans_while_it_is_young(storage, drafts, age, left):
    storage.put("collections/pond/segments/f00d/rows", b"rows")
    record_draft(storage, drafts.folder, DRAFTED)
    now = datetime.now(UTC) + age - timedelta(hours=1)
    Cleaner(storage, lambda: now).remove_orphans("pond", ORPHAN_GRACE)
    assert storage.names("collections/pond/segments") == left
    assert [drafted.segment.id for drafted in drafts.all()] == left


def test_taking_it_up_makes_it_young_again(storage, drafts, tmp_path):
    record_draft(storage, drafts.folder, DRAFTED)
    before = storage.last_change(drafts.folder)
    assert drafts.taken_up() == [DRAFTED]
    assert storage.last_change(drafts.folder) > before
    assert drafted_segments(storage, "pond", before + KEPT) == {"f00d"}
