"""What a gateway tells of its collections while others change them."""

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.storage import Storage
from cluster.report import collections

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 2)


class Overtaken(Catalog):
    """Somebody else deletes a collection right after it was listed."""

    def names(self):
        listed = super().names()
        self.delete("gone")
        return listed


def test_a_collection_that_is_deleted_meanwhile_is_left_out(tmp_path):
    catalog = Overtaken(Storage(str(tmp_path)))
    for name in ("gone", "kept"):
        catalog.publish(catalog.new(name, MODEL, 2, ""))
    assert [collection.name for collection in collections(catalog)] == ["kept"]
