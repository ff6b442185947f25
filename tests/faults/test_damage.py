"""Damaged storage is told apart and named, and the rest keeps serving."""

import os
import signal
from pathlib import Path

import pytest
from waiting import until

from actors.errors import CorruptData
from actors.storage import Storage


@pytest.fixture
def pair(shoal, folder):
    """A collection to damage, and one beside it."""
    for name in ("sound", "hurt"):
        shoal.wait(shoal.index([folder], collection=f"{name}-{folder.parent.name[-20:]}".lower()))
    suffix = folder.parent.name[-20:].lower()
    return f"sound-{suffix}", f"hurt-{suffix}"


def forget(shoal):
    """Kill the hosts: they opened all of it when it was published, and must read it again."""
    hosts = {r.name: r.pid for r in shoal.status().replicas if r.kind == "ShardHost"}
    for pid in hosts.values():
        os.kill(pid, signal.SIGKILL)

    def are_back():
        now = {r.name: r.pid for r in shoal.status().replicas if r.kind == "ShardHost"}
        return now.keys() == hosts.keys() and not set(now.values()) & {0, *hosts.values()}

    until(are_back)


def segments_of(gateway, collection):
    """Return the folders of a collection's segments, one for each of its two shards."""
    folder = Storage(gateway.root).folder(f"collections/{collection}/segments")
    return sorted(segment for segment in folder.iterdir() if segment.is_dir())


def scramble(folder):
    for file in filter(Path.is_file, folder.rglob("*")):
        file.write_bytes(b"not what was written")


def test_a_damaged_segment_costs_its_shard_and_is_named(shoal, gateway, pair):
    sound, hurt = pair
    segment, _ = segments_of(gateway, hurt)
    scramble(segment / "rows.lance")
    forget(shoal)
    answer = shoal.search("install", collections=[sound, hurt])
    coverage = {c.name: c for c in answer.collections}
    assert coverage[sound].coverage == 1.0
    assert coverage[hurt].coverage == 0.5
    assert segment.name in coverage[hurt].problem
    assert answer.coverage == 0.75
    assert answer.hits


def test_a_missing_segment_is_told_from_a_damaged_one(shoal, gateway, pair):
    sound, hurt = pair
    missing, damaged = segments_of(gateway, hurt)
    Storage(gateway.root).delete(f"collections/{hurt}/segments/{missing.name}")
    scramble(damaged / "rows.lance")
    forget(shoal)
    answer = shoal.search("install", collections=[sound, hurt])
    coverage = {c.name: c for c in answer.collections}
    assert coverage[sound].coverage == 1.0
    assert coverage[hurt].coverage == 0.0
    problems = coverage[hurt].problem.split("; shard")
    (of_missing,) = (problem for problem in problems if missing.name in problem)
    (of_damaged,) = (problem for problem in problems if damaged.name in problem)
    assert "is missing" in of_missing
    assert "is missing" not in of_damaged
    assert answer.hits


def test_a_truncated_manifest_is_named_and_hides_no_other_collection(shoal, gateway, pair):
    sound, hurt = pair
    Storage(gateway.root).put(f"collections/{hurt}/manifests/00000002.json", b'{"collec')
    listed = {c.name: c for c in shoal.collections()}
    assert "00000002.json" in listed[hurt].problem
    assert listed[sound].problem == ""
    assert shoal.search("install", collections=[sound]).coverage == 1.0
    with pytest.raises(CorruptData, match=r"00000002\.json"):
        shoal.index([listed[sound].source], collection=hurt)

    def parts():
        return {c.name: c for c in shoal.search("install").collections}

    until(lambda: "00000002.json" in parts()[hurt].problem)
    assert (parts()[sound].coverage, parts()[hurt].coverage) == (1.0, 0.0)
