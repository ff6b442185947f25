"""A root that some node does not see is refused or told; one node alone is never asked."""

import pytest

from actors.errors import StorageError
from actors.visibility import RootWatch, refuse_blind_nodes

TWO = {"a": "10.0.0.1", "b": "10.0.0.2"}


class Cluster:
    """Nodes of which some have another folder in the root's place."""

    def __init__(self, *blind, away=()):
        self.blind, self.away, self.asked = blind, away, []

    def __call__(self, file, nodes):
        self.asked.append(sorted(nodes))
        with open(file) as stream:
            said = stream.read()
        answering = [node for node in nodes if node not in self.away]
        return {node: None if node in self.blind else said for node in answering}


def test_a_root_that_a_node_does_not_see_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(StorageError, match=r"not the same folder on 10\.0\.0\.2: mount it.*s3://"):
        refuse_blind_nodes(str(tmp_path), TWO, Cluster("b"))
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_all_see_is_taken_and_so_is_a_node_that_says_nothing(tmp_path):
    refuse_blind_nodes(str(tmp_path), TWO, Cluster())
    refuse_blind_nodes(str(tmp_path), TWO, Cluster(away=("b",)))
    assert list(tmp_path.iterdir()) == []


def test_one_node_and_an_object_store_are_not_asked(tmp_path):
    cluster = Cluster("a")
    refuse_blind_nodes(str(tmp_path), {"a": "10.0.0.1"}, cluster)
    refuse_blind_nodes("s3://bucket/x", TWO, cluster)
    assert cluster.asked == []


def test_a_node_that_joins_is_asked_once_and_a_blind_one_until_it_sees(tmp_path):
    watch, cluster = RootWatch(str(tmp_path)), Cluster("c")
    watch.look({"a": "10.0.0.1"}, cluster)
    watch.look(TWO, cluster)
    watch.look(TWO, cluster)
    assert (cluster.asked, watch.problem) == ([["a", "b"]], "")
    three = {**TWO, "c": "10.0.0.3"}
    watch.look(three, cluster)
    assert "not the same folder on 10.0.0.3: mount it" in watch.problem
    cluster.blind = ()
    watch.look(three, cluster)
    watch.look(three, cluster)
    assert (len(cluster.asked), watch.problem) == (3, "")
