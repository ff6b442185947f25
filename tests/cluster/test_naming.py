"""Which collection is meant by folders here, by URIs, and what may be asked of one that is gone."""

import shutil
from dataclasses import replace

import obstore
import pytest

from actors.catalog import Catalog
from actors.choice import Choice
from actors.engines.base import Fingerprint
from actors.errors import InvalidRequest, NotFound, StorageError
from actors.storage import Storage, open_store
from cluster.naming import Target, choose_target

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)


@pytest.fixture
def catalog(tmp_path):
    return Catalog(Storage(str(tmp_path / "root")))


@pytest.fixture
def source(catalog, tmp_path):
    """The folder of a collection that is called docs."""
    folder = tmp_path / "docs"
    folder.mkdir()
    model = Fingerprint("static", "0", "int8", "mean", "", "", 2)
    catalog.publish(catalog.new("docs", model, 1, str(folder)))
    return folder


@pytest.mark.parametrize("name", [None, "docs"])
def test_a_path_that_is_gone_is_a_scope_of_the_collection_that_holds_it(catalog, source, name):
    target = choose_target(catalog, [f"{source}/gone/away.md"], name)
    assert (target.collection, target.root) == ("docs", str(source))
    assert target.scopes == ("gone/away.md",)


def test_one_that_no_collection_holds_does_not_exist(catalog, source, tmp_path):
    for paths, name in (
        ([tmp_path / "gone.md"], None),
        ([source, tmp_path / "gone.md"], None),
        ([tmp_path / "gone.md"], "docs"),
        ([source / "gone.md"], "another"),
    ):
        with pytest.raises(NotFound, match=r"gone\.md does not exist"):
            choose_target(catalog, [str(path) for path in paths], name)


def test_a_source_that_is_gone_does_not_exist_and_nothing_below_it(catalog, source):
    shutil.rmtree(source)
    for path in (source, source / "a.md"):
        with pytest.raises(NotFound, match="does not exist"):
            choose_target(catalog, [str(path)], None)


def test_what_a_whole_collection_takes_is_not_changed_over_a_part_of_it(catalog, source):
    (source / "sub").mkdir()
    only, other = Choice(include=("*.md",)), Choice(exclude=("*.md",))
    assert choose_target(catalog, [str(source)], None, only).choice == only
    with pytest.raises(InvalidRequest, match=r"'docs' holds all of .* \(everything\): index that"):
        choose_target(catalog, [f"{source}/sub"], None, only)
    assert choose_target(catalog, [f"{source}/sub"], "sub", only).root == f"{source}/sub"
    catalog.publish(replace(catalog.get("docs"), choice=only))
    assert choose_target(catalog, [f"{source}/sub"], None, only).scopes == ("sub",)
    assert choose_target(catalog, [f"{source}/sub"], None).choice == Choice()
    with pytest.raises(InvalidRequest, match=r"\(only \*\.md\)"):
        choose_target(catalog, [f"{source}/sub"], None, other)


@pytest.fixture
def docs(bucket):
    store = open_store(bucket)
    for name in ("docs/a.md", "docs/sub/b.md", "docs2/c.md"):
        obstore.put(store, name, b"# Text\n")
    return bucket


def test_a_uri_names_a_collection_after_its_last_part(catalog, docs):
    wanted = {
        f"{docs}/docs/": Target("docs", f"{docs}/docs", ("",)),
        f"{docs}//docs/a.md": Target("docs", f"{docs}/docs", ("a.md",)),
        docs: Target(docs.removeprefix("s3://"), docs, ("",)),
    }
    assert {uri: choose_target(catalog, [uri], None) for uri in wanted} == wanted


def test_several_uris_share_the_folder_that_holds_them(catalog, docs):
    target = choose_target(catalog, [f"{docs}/docs/sub", f"{docs}/docs2"], None)
    assert (target.root, target.scopes) == (docs, ("docs/sub", "docs2"))


def test_what_lies_below_a_source_is_its_scope_and_a_neighbour_is_not(catalog, docs):
    catalog.publish(catalog.new("all", MODEL, 1, f"{docs}/docs"))
    below = choose_target(catalog, [f"{docs}/docs/sub"], None)
    assert below == Target("all", f"{docs}/docs", ("sub",))
    assert choose_target(catalog, [f"{docs}/docs2"], None).collection == "docs2"
    with pytest.raises(InvalidRequest, match=f"holds {docs}/docs, and not {docs}/docs2"):
        choose_target(catalog, [f"{docs}/docs2"], "all")


def test_folders_and_uris_do_not_get_in_each_others_way(catalog, docs, tmp_path):
    catalog.publish(catalog.new("stored", MODEL, 1, docs))
    catalog.publish(catalog.new("sent", MODEL, 1, f"client://host{tmp_path}"))
    local = choose_target(catalog, [str(tmp_path)], None)
    assert (local.root, local.scopes) == (str(tmp_path), ("",))
    catalog.publish(catalog.new("local", MODEL, 1, str(tmp_path)))
    assert choose_target(catalog, [str(tmp_path / "root")], None).collection == "local"
    assert choose_target(catalog, [f"{docs}/docs"], None).collection == "stored"


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["s3://b/x", "/tmp"], "s3://b/x, /tmp are of several kinds; index one after the other"),
        (["git+https://u:secret@h/x", "/tmp"], r"git\+https://\*\*\*@h/x, /tmp are of several"),
        (["git+https://h/x", "git+https://h/y"], "are of several kinds"),
        (["http://host/x"], "http://host/x cannot be indexed; take a folder, s3://"),
        (["client://host/x"], "cannot be indexed"),
        (["file:///x"], "cannot be indexed"),
        (["s3://"], "is no place in a bucket"),
        (["s3://key:secret@bucket/x"], "is no place in a bucket"),
        (["s3://b/../x"], "is no place in a bucket"),
    ],
)
def test_what_cannot_be_meant_is_refused(catalog, paths, said):
    with pytest.raises(InvalidRequest, match=said):
        choose_target(catalog, paths, None)


def test_prefixes_of_two_buckets_have_no_folder_in_common(catalog, docs):
    with pytest.raises(InvalidRequest, match="no folder in common"):
        choose_target(catalog, [docs, f"{docs}-other"], None)


def test_a_store_that_does_not_answer_is_told_at_once(catalog, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="check the address, and the credentials"):
        choose_target(catalog, [f"{bucket}/silent/x"], None)
