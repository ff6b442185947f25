"""Batch jobs whose machine is still to be added by an autoscaler."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from actors.errors import MemoryLimitExceeded
from actors.messages import JobState, JobStatus
from actors.process import MemoryConfig
from actors.storage import Storage
from cluster import batch_job, indexing, reindex
from cluster.indexing import Indexing
from cluster.roots import Roots
from cluster.settings import Settings

GIB = 1 << 30
WAITING = JobStatus("a1", "docs", phase=reindex.STARTING)


class Calls:
    """A steward that has heard of one job, which has ended when it is looked at again and again."""

    def __init__(self):
        self.reports = []
        self.looks = 0

    async def job(self, job_id):
        self.looks += 1
        ended = self.looks > 3
        return replace(WAITING, state=JobState.DONE if ended else JobState.RUNNING)

    def report(self, status):
        self.reports.append(status)


@pytest.fixture
def followed(monkeypatch, tmp_path):
    """A gateway that follows a batch job, and whom it asks."""
    monkeypatch.setattr(indexing, "_LOOK_EVERY_S", 0.01)
    calls = Calls()
    settings = Settings(root=str(tmp_path))
    gateway = Indexing(calls, settings, Storage(str(tmp_path)), lambda: None, Roots())
    gateway._batch["a1"] = None
    return gateway, calls


async def test_a_job_that_waits_is_reported_by_who_started_it(followed, monkeypatch):
    gateway, calls = followed
    monkeypatch.setattr(indexing, "find_actor", lambda name: name == "job-a1")
    await gateway._keep_up("a1")
    assert [report.id for report in calls.reports] == ["a1"] * 3


async def test_one_whose_actor_is_gone_is_not(followed, monkeypatch):
    gateway, calls = followed
    monkeypatch.setattr(indexing, "find_actor", lambda name: None)
    await gateway._keep_up("a1")
    assert calls.reports == []


@pytest.mark.parametrize(("to_come", "is_refused"), [(0, True), (GIB, True), (2 * GIB, False)])
def test_replicas_wait_where_a_node_that_is_added_has_room(monkeypatch, to_come, is_refused):
    monkeypatch.setattr(batch_job, "largest_memory_free", lambda: GIB // 2)
    memory = MemoryConfig(2 * GIB, 0.8, 0.95, "auto", 0)
    card = SimpleNamespace(spec="onnx:m")
    if not is_refused:
        batch_job._refuse_without_room(card, memory, to_come)
        return
    with pytest.raises(MemoryLimitExceeded, match="SHOAL_AUTOSCALED_MEMORY"):
        batch_job._refuse_without_room(card, memory, to_come)
