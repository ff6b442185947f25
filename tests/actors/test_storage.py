import errno

import pytest

from actors.errors import StorageError
from actors.storage import AlreadyThere, Storage, storage_error


def test_a_name_is_created_once(tmp_path):
    storage = Storage(str(tmp_path))
    storage.put_new("a/b.json", b"1")
    with pytest.raises(AlreadyThere):
        storage.put_new("a/b.json", b"2")
    assert storage.read("a/b.json") == b"1"


def test_an_absent_file_is_told_from_an_unreadable_root(tmp_path):
    with pytest.raises(FileNotFoundError):
        Storage(str(tmp_path)).read("nothing")


def test_names_lists_files_and_folders_directly_below(tmp_path):
    storage = Storage(str(tmp_path))
    for name in ("c/x/1", "c/y/2", "c/file", "d/z"):
        storage.put(name, b"")
    assert storage.names("c") == ["file", "x", "y"]
    assert storage.names("nowhere") == []


def test_deleting_a_folder_leaves_its_neighbours(tmp_path):
    storage = Storage(str(tmp_path))
    for name in ("c/x/1", "c/x2/1"):
        storage.put(name, b"")
    storage.delete("c/x")
    assert storage.names("c") == ["x2"]


def test_removing_a_file_leaves_the_others_and_may_be_done_again(tmp_path):
    storage = Storage(str(tmp_path))
    for name in ("jobs/1.json", "jobs/2.json"):
        storage.put(name, b"")
    for _ in range(2):
        storage.remove("jobs/1.json")
    assert storage.names("jobs") == ["2.json"]


def test_a_root_that_is_a_file_is_refused_with_its_name(tmp_path):
    root = tmp_path / "file"
    root.write_text("")
    with pytest.raises(StorageError, match=r"cannot open in .*file"):
        Storage(str(root))


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left there: free some"),
        (OSError(errno.EROFS, "Read-only file system"), "not writable for this user"),
        (PermissionError(errno.EACCES, "Permission denied"), "not writable for this user"),
        (OSError("LanceError(IO): No space left on device (os error 28)"), "no space is left"),
        (OSError("something else\nwith details"), "something else"),
    ],
)
def test_a_failure_names_the_root_the_cause_and_the_way_out(error, way_out):
    message = str(storage_error("/data", "write x", error))
    assert message.startswith("cannot write x in /data: ")
    assert way_out in message
    assert "\n" not in message


def test_files_are_listed_at_any_depth_with_their_sizes(tmp_path):
    storage = Storage(str(tmp_path))
    for name in ("c/x/1", "c/x/deep/er/2", "c/x2/1"):
        storage.put(name, b"data")
    assert {name: file.size for name, file in storage.files("c/x").items()} == {
        "1": 4,
        "deep/er/2": 4,
    }


def test_a_file_is_removed_alone_and_one_that_is_gone_is_no_error(tmp_path):
    storage = Storage(str(tmp_path))
    for name in ("c/1", "c/10"):
        storage.put(name, b"")
    storage.remove("c/1")
    storage.remove("c/1")
    assert storage.names("c") == ["10"]
