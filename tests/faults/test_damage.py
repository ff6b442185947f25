"""Damaged storage is told apart and named, and the rest keeps serving."""

import pytest

from actors.errors import CorruptData
from actors.storage import Storage


@pytest.fixture
def pair(shoal, folder):
    """A collection to damage, and one beside it."""
    for name in ("sound", "hurt"):
        shoal.wait(shoal.index([folder], collection=f"{name}-{folder.parent.name[-20:]}".lower()))
    suffix = folder.parent.name[-20:].lower()
    return f"sound-{suffix}", f"hurt-{suffix}"


def test_a_damaged_segment_costs_its_shard_and_is_named(shoal, gateway, pair):
    sound, hurt = pair
    storage = Storage(gateway.root)
    segment = storage.names(f"collections/{hurt}/segments")[0]
    for file in storage.folder(f"collections/{hurt}/segments/{segment}/rows.lance").rglob("*"):
        if file.is_file():
            file.write_bytes(b"not what was written")
    answer = shoal.search("install", collections=[sound, hurt])
    coverage = {c.name: c for c in answer.collections}
    assert coverage[sound].coverage == 1.0
    assert coverage[hurt].coverage == 0.5
    assert segment in coverage[hurt].problem
    assert answer.coverage == 0.75
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
