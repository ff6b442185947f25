"""A file that its parser dies of costs itself, not the job and not the machine."""

from cluster.protocol import FileError


def test_it_is_set_aside_and_the_rest_is_indexed(shoal, folder):
    for n in range(20):
        (folder / f"f{n}.md").write_text(f"# Fine {n}\n")
    (folder / "poison.py").write_text("/*\n" * 33_000)
    job = shoal.wait(shoal.index([folder], collection="poison"))
    assert job.skipped["cannot be parsed"] == 1
    assert job.errors == (FileError(path="poison.py", reason="cannot be parsed"),)
    assert job.files_done == job.files_total == 25
    found = shoal.search("fine", mode="lexical", collections=["poison"], limit=30)
    assert len(found.hits) == 20
