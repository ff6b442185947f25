"""Who reads a source: the gateway's node where only it has the folder, else any that sees it."""

import shutil

import pytest

from actors.errors import NotFound
from cluster import mounts
from cluster.ingest.pipeline import BlockOfFiles, read_block
from cluster.ingest.walk import FoundFile
from cluster.mounts import reading_options
from cluster.settings import Settings

HERE = "0" * 55 + "1"


@pytest.fixture
def cores(monkeypatch):
    """Have this process run on a node of a cluster; set what cores the node has."""
    nodes = [{"NodeID": HERE, "Resources": {}}, {"NodeID": "there", "Resources": {"CPU": 4.0}}]
    monkeypatch.setattr(mounts, "node_here", lambda: HERE)
    monkeypatch.setattr(mounts.ray, "nodes", lambda: nodes)
    return nodes[0]["Resources"]


def test_a_folder_of_the_gateways_machine_is_read_there(cores):
    cores["CPU"] = 2.0
    options = reading_options("/src", ("/mnt/shared",))
    strategy = options.pop("scheduling_strategy")
    assert (strategy.node_id, strategy.soft, options) == (HERE, False, {})


def test_a_head_without_cores_reads_its_folders_all_the_same(cores):
    assert reading_options("/src", ())["num_cpus"] == 0


@pytest.mark.parametrize("root", ["/mnt/shared", "/mnt/shared/a/b", "s3://bucket/x"])
def test_what_every_node_sees_is_read_anywhere(cores, root):
    assert reading_options(root, ("/mnt/shared",)) == {}


def test_shared_roots_are_folders_by_their_real_paths(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    settings = Settings(shared_roots=f"{tmp_path}/alias:/mnt/other/")
    assert settings.shared_folders == (f"{tmp_path}/real", "/mnt/other")
    assert Settings().shared_folders == ()


def test_a_folder_that_a_node_does_not_have_fails_the_job_and_not_each_file(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# A\n")
    root = str(tmp_path / "docs")
    block = BlockOfFiles("c", root, 0, (FoundFile("a.md", 4),), {}, 100)
    assert read_block(block)[0].changed.keys() == {"a.md"}
    shutil.rmtree(root)
    with pytest.raises(NotFound, match=f"folder {root} is not there on node .*: mount it on every"):
        read_block(block)
