"""A host that hangs: while another serves its shards, nobody waits for it."""

import pytest
from own_gateway import own_gateway
from stopping import stopped
from waiting import until

from actors.errors import IncompleteCoverage


def replicas(shoal, kind):
    return [r for r in shoal.status().replicas if r.kind == kind and not r.problem]


def counts(shoal):
    (router,) = replicas(shoal, "Router")
    return router.detail


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A gateway with two hosts; a collection of two shards, in both of which words are found."""
    top = tmp_path_factory.mktemp("slow")
    (top / "docs").mkdir()
    for number in range(24):
        (top / "docs" / f"f{number}.md").write_text(f"# Zebra {number}\n\nCrossing {number}.\n")
    with own_gateway(top / "root", SHOAL_REPLICATION="2") as shoal:
        shoal.wait(shoal.index([top / "docs"], collection="docs"))
        for number in range(40):  # both hosts have opened what they serve, and their pace is known
            assert shoal.search(f"zebra {number}", collections=["docs"]).coverage == 1.0
        yield shoal


def test_a_host_that_hangs_costs_no_answer_and_few_calls_where_another_serves_its_shards(served):
    before = counts(served)
    with stopped(replicas(served, "ShardHost")[0]):
        for number in range(30):
            answer = served.search(f"zebra {number}", collections=["docs"], limit=24)
            assert answer.coverage == 1.0
            assert len(answer.hits) == 24
        after = counts(served)
    assert after["hedges"] > before.get("hedges", 0)
    assert after["hedge_wins"] > before.get("hedge_wins", 0)
    assert after["hedges"] <= 1 + 0.05 * after["shard_calls"]
    assert after.get("partial_answers", 0) == 0
    until(lambda: counts(served)["shard_queries_in_flight"] == 0)


def test_where_no_other_serves_its_shards_the_answer_names_what_is_missing(served):
    served.scale(replication=1)
    with stopped(replicas(served, "ShardHost")[0]):
        answer = served.search("zebra", collections=["docs"], deadline_s=2)
        assert answer.coverage == 0.5
        assert answer.hits
        assert "did not answer in time" in answer.collections[0].problem
        with pytest.raises(IncompleteCoverage, match=r"docs: shard [01] did not answer in time"):
            served.search("zebra", collections=["docs"], deadline_s=2, require_full_coverage=True)
    until(lambda: served.search("zebra", collections=["docs"]).coverage == 1.0)
