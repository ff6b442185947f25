"""Many small publishes become few segments by themselves, while searches go on."""

from own_gateway import own_gateway
from waiting import until

COLLECTION = "growing"


def segments(shoal):
    (found,) = (c for c in shoal.collections() if c.name == COLLECTION)
    return found.segments


def test_segments_of_many_publishes_become_one_and_no_search_notices(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    with own_gateway(tmp_path / "root", SHOAL_SHARDS="1") as shoal:
        for number in range(6):
            (folder / f"f{number}.md").write_text(f"# Title {number}\nzebra number{number}\n")
            shoal.wait(shoal.index([folder], collection=COLLECTION))
        answers = []

        def merged():
            reply = shoal.search("zebra number3", collections=[COLLECTION], mode="lexical")
            answers.append((reply.coverage, [(hit.id, hit.score) for hit in reply.hits]))
            return segments(shoal) == 1

        until(merged)
        merged()
        assert len(answers[0][1]) == 6
        assert all(answer == (1.0, answers[0][1]) for answer in answers)
        (folder / "f3.md").unlink()
        job = shoal.wait(shoal.index([folder], collection=COLLECTION))
        assert (job.files_unchanged, job.files_removed) == (5, 1)
        assert not shoal.search("number3", collections=[COLLECTION], mode="lexical").hits
        assert (
            shoal.search("zebar number5", collections=[COLLECTION], mode="lexical", typos=True)
            .hits[0]
            .path
            == "f5.md"
        )
