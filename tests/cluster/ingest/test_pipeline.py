"""What a block says of its files."""

from actors.messages import FileError
from cluster.ingest.pipeline import BlockOfFiles, _cut_block
from cluster.ingest.walk import FoundFile


def test_a_file_that_cannot_be_read_is_named_and_ordinary_ones_are_counted(tmp_path):
    (tmp_path / "fine.py").write_text("x = 1\n")
    (tmp_path / "empty.py").write_text("")
    names = ("empty.py", "fine.py", "gone.py")
    files = tuple(FoundFile(name, 1) for name in names)
    summary, _ = _cut_block(BlockOfFiles("pond", str(tmp_path), 0, files, {}, 100))
    assert summary.skipped == {"unreadable": 1, "empty": 1}
    assert summary.errors == (FileError("gone.py", "unreadable"),)
    assert list(summary.changed) == ["fine.py"]
