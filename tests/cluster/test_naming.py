"""Which collection a path belongs to, and what may be asked of one that is gone."""

import shutil

import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import NotFound
from actors.storage import Storage
from cluster.naming import choose_target


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
