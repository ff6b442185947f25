"""A merge that dies, or meets damage, leaves the collection as it was; a later one does it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.index.writing import chunk_block, write_segment
from actors.messages import Chunk
from actors.storage import Storage

SCRIPT = """
import os
import shutil
import sys
import psutil
import ray
from pathlib import Path
from actors.catalog import Catalog
from actors.merger import Merger
from actors.storage import Storage
from waiting import until

root = sys.argv[1]
catalog = Catalog(Storage(root))
shard = catalog.get("c").shards[0]
folder = Path(root, "collections/c/segments", shard[1].id, "lexical")


def outcome(merger):
    published = []
    until(lambda: published.append(merger.look()) or published[-1] or not merger.busy)
    return published[-1]


def merging():
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "ray::_merged" in " ".join(child.cmdline())]


ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
terms = (folder / "terms.npy").read_bytes()

(folder / "terms.npy").write_bytes(b"damaged")
merger = Merger(root)
merger.look()
assert outcome(merger) is False
assert merger.look() is False
assert not merger.busy, "what failed a moment ago is tried again at once"
assert catalog.get("c").generation == 1
written = Path(root, "collections/c/segments")
assert len(list(written.iterdir())) == len(shard), "what failed left something behind"

(folder / "terms.npy").unlink()
os.mkfifo(folder / "terms.npy")  # who reads it waits, with the rows written already
merger = Merger(root)
merger.look()
until(lambda: len(list(written.iterdir())) > len(shard))
(process,) = until(merging)
process.kill()
assert outcome(merger) is False
assert catalog.get("c").generation == 1
assert catalog.get("c").shards[0] == shard

(folder / "terms.npy").unlink()
(folder / "terms.npy").write_bytes(terms)
merger = Merger(root)
merger.look()
assert outcome(merger) is True
(merged,) = catalog.get("c").shards[0]
assert merged.rows == sum(ref.rows for ref in shard)
print("as it should be")
"""


def test_a_merge_that_fails_changes_nothing_and_is_done_later(tmp_path):
    storage = Storage(str(tmp_path / "root"))
    refs = []
    for number in range(4):
        chunks = [Chunk(f"f{number}.md", 1, 1, "markdown", "", f"zebra {number}")]
        vectors = [np.ones((1, 8), np.float32)]
        refs.append(write_segment(storage, "c", [chunk_block("c", chunks, ["h"])], vectors))
    catalog = Catalog(storage)
    model = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 8)
    catalog.publish(replace(catalog.new("c", model, 1, ""), shards=(tuple(refs),)))
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", SCRIPT, storage.root],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
    )
    assert done.stdout.endswith("as it should be\n"), done.stderr
