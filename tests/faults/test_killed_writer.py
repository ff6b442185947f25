"""A writer killed between its segments and its manifest leaves the old generation."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

from waiting import runs, until

from actors.retention import Cleaner
from actors.storage import Storage

WRITER = """
import os, signal, sys
import numpy as np
from actors.catalog import Catalog
from actors.index.writing import chunk_block, write_segment
from actors.messages import Chunk
from actors.storage import Storage
from cluster.ingest.held import bury_files, following, stored_files

root, name = sys.argv[1:]
storage = Storage(root)
base = Catalog(storage).get(name)
chunks = [Chunk("src/cache.py", 1, 1, "python", "", "half written zebra")]
vectors = [np.ones((1, base.model.dimension), np.float32)]
ref = write_segment(storage, name, [chunk_block(name, chunks, ["h"])], vectors)
buried = bury_files(storage, base, [stored_files(storage, base)["src/cache.py"]])
following(base, buried, {0: [ref]})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_of_it_is_visible_and_its_remains_are_removed(shoal, gateway, folder):
    shoal.wait(shoal.index([folder], collection="killed"))
    storage = Storage(gateway.root)
    before = storage.names("collections/killed/segments")
    done = subprocess.run([sys.executable, "-c", WRITER, gateway.root, "killed"], check=False)
    assert done.returncode == -signal.SIGKILL
    left = set(storage.names("collections/killed/segments")) - set(before)
    assert len(left) == 1
    assert shoal.search("zebra", mode="lexical", collections=["killed"]).hits == ()
    assert shoal.search("evict", mode="lexical", collections=["killed"]).hits
    (collection,) = (c for c in shoal.collections() if c.name == "killed")
    assert collection.generation == 1
    removed = Cleaner(storage).remove_orphans("killed", timedelta(0))
    assert f"collections/killed/segments/{left.pop()}" in removed
    assert storage.names("collections/killed/segments") == before
    assert shoal.search("evict", mode="lexical", collections=["killed"]).coverage == 1.0


def test_a_gateway_killed_in_mid_job_leaves_the_old_generation(tmp_path, folder):
    """The next gateway serves what was published, and the same command does the rest."""
    from cluster import daemon
    from cluster.client import ShoalClient

    root = str(tmp_path / "root")
    with ShoalClient(root=root) as shoal:
        settings = shoal.settings
        shoal.wait(shoal.index([folder], collection="mid"))
        for n in range(3000):
            (folder / f"f{n}.md").write_text(f"# Title {n}\n" + f"zebra{n} text\n" * 30)
        job = shoal.index([folder], collection="mid")
        until(lambda: shoal.job(job.id).files_done >= 300)
        process = daemon.find(settings).process
        family = [process, *process.children(recursive=True)]
        os.kill(process.pid, signal.SIGKILL)
    try:
        with ShoalClient(root=root) as shoal:
            found = shoal.search("evict", mode="lexical", collections=["mid"])
            assert [hit.path for hit in found.hits] == ["src/cache.py"]
            assert found.collections[0].generation == 1
            assert shoal.search("zebra2999", mode="lexical", collections=["mid"]).hits == ()
            job = shoal.wait(shoal.index([folder], collection="mid"))
            assert (job.generation, job.files_unchanged) == (2, 4)
            assert shoal.search("zebra2999", mode="lexical", collections=["mid"]).hits
    finally:
        daemon.stop(settings)
    until(lambda: not [process for process in family if runs(process)])
