"""`shoal watch` beside a real gateway: real edits, and what searches find then."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from own_gateway import own_gateway
from test_watch import Files
from waiting import until

from actors.catalog import Catalog
from actors.storage import Storage
from cluster import daemon
from cluster.console import show_answer, show_collections
from cluster.ingest.held import stored_files
from cluster.ingest.walk import walk
from cluster.settings import Settings

pytestmark = pytest.mark.timeout(400)
"""Two gateways start in one of these tests; on a machine that is busy that takes minutes."""

MANY = 1000
FEW = 10
"""A checkout is one publish, or a few where the machine stops for longer than the pause."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("watch-root")


@pytest.fixture(scope="module")
def shoal(root):
    with own_gateway(root) as client:
        yield client


class Watching:
    """A `shoal watch --json` that runs."""

    def __init__(self, process):
        self.process, self.lines = process, []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def told(self, event):
        return [line for line in self.lines if line["event"] == event]

    def end(self):
        """End it as Ctrl-C does, and return its exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._reading.join()
        self.process.stdout.close()
        return code


@contextmanager
def watching(root, folder, collection):
    heeding = ["env", "--default-signal=INT"]  # what was started in the background ignores Ctrl-C
    command = [*heeding, Path(sys.executable).parent / "shoal", "watch", folder, "--json"]
    options = ["--collection", collection, "--root", root]
    watch = Watching(subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True))
    try:
        until(lambda: watch.told("watching") or watch.process.poll() is not None)
        yield watch
    finally:
        if watch.process.poll() is None:
            watch.end()


def paths(shoal, query, collection):
    found = shoal.search(query, mode="lexical", collections=[collection], limit=50)
    return {hit.path for hit in found.hits}


def generation(shoal, collection):
    return next(c.generation for c in shoal.collections() if c.name == collection)


def stored(root, collection):
    storage = Storage(str(root))
    return set(stored_files(storage, Catalog(storage).get(collection)))


def walked(folder):
    return {file.path for file in walk(folder).files}


def git(folder, *args):
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "gc.auto=0")
    subprocess.run(["git", *names, *args], cwd=folder, check=True, capture_output=True)


def test_searches_find_what_was_written_and_no_longer_what_is_gone(shoal, root, folder):
    with watching(root, folder, "edits") as watch:
        (folder / "src" / "cache.py").write_text("def zebra():\n    pass\n")
        until(lambda: paths(shoal, "zebra", "edits") == {"src/cache.py"})
        assert paths(shoal, "evict", "edits") == set()
        (folder / "src").rename(folder / "lib")
        until(lambda: paths(shoal, "zebra", "edits") == {"lib/cache.py"})
        (folder / "lib" / "http.go").unlink()
        until(lambda: paths(shoal, "ParseCookie", "edits") == set())
        (folder / ".gitignore").write_text("*.log\nlib/\n")
        until(lambda: paths(shoal, "zebra", "edits") == set())
        assert stored(root, "edits") == walked(folder) == {"README.md", ".gitignore"}
        assert watch.end() == 130
        assert watch.told("published")[-1]["job"]["files_removed"] == 1
        assert not watch.told("trouble")


def test_answers_say_how_far_a_collection_is_behind(shoal, root, folder, capsys):
    def behind_s():
        (searched,) = shoal.search("install", collections=["behind"]).collections
        return searched.behind_s

    shoal.wait(shoal.index([folder], collection="behind"))
    assert behind_s() is None
    with watching(root, folder, "behind"):
        until(lambda: behind_s() == 0)
        (collection,) = (c for c in shoal.collections() if c.name == "behind")
        assert collection.behind_s == 0
        show_collections((collection,))
        assert "up to date" in capsys.readouterr().out
        show_answer(shoal.search("install", collections=["behind"]), limit_lines=True)
        assert "behind: up to date" in capsys.readouterr().err
    until(lambda: behind_s() is None)
    shoal.watching("behind", watcher="test", behind_s=2.0, source=str(folder))
    assert behind_s() > 2
    shoal.watching("behind", watcher="test", behind_s=0.0, source=str(folder))
    assert behind_s() == 0
    shoal.unwatch("behind", watcher="test")
    shoal.watching("behind", watcher="test", behind_s=0.0, source=str(folder / "src"))
    assert behind_s() is None  # who watches a part cannot tell


def test_a_branch_that_touches_a_thousand_files_is_few_publishes(shoal, root, tmp_path):
    top = tmp_path / "repository"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    for branch in ("main", "other"):
        for number in range(MANY):
            folder = top / f"d{number % 20}"
            folder.mkdir(exist_ok=True)
            (folder / f"f{number}.md").write_text(f"# {branch}word {number}\n")
        (top / f"only-{branch}.md").write_text(f"# {branch}mark\n")
        if branch == "other":
            (top / "only-main.md").unlink()
            git(top, "checkout", "-q", "-b", "other")
        git(top, "add", "-A")
        git(top, "commit", "-q", "-m", branch)
    with watching(root, top, "branches"):
        before = generation(shoal, "branches")
        git(top, "checkout", "-q", "main")
        until(
            lambda: (
                paths(shoal, "mainmark", "branches") == {"only-main.md"}
                and not paths(shoal, "otherword", "branches")
                and not paths(shoal, "othermark", "branches")
            )
        )
        assert generation(shoal, "branches") - before <= FEW
    assert stored(root, "branches") == walked(top)


@pytest.mark.parametrize("seed", [100, 101])
def test_whatever_is_done_to_files_the_collection_holds_them(shoal, root, tmp_path, seed):
    top = (tmp_path / "random").resolve()
    top.mkdir()
    files = Files(top, seed)
    (top / "first.md").write_text("first\n")
    name = f"random-{seed}"
    with watching(root, top, name):
        for _ in range(30):
            files.do()
        (top / "keep.md").write_text("the last\n")
        until(lambda: stored(root, name) == walked(top))


def test_a_gateway_that_dies_is_caught_up_with(shoal, root, folder):
    with watching(root, folder, "killed") as watch:
        settings = Settings(root=str(root))
        process = daemon.find(settings).process
        children = process.children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        (folder / "new.md").write_text("# Quokka\n")
        until(lambda: watch.told("trouble"))
        daemon.find_or_start(settings)
        until(lambda: paths(shoal, "quokka", "killed") == {"new.md"})
        until(lambda: shoal.search("quokka", collections=["killed"]).collections[0].behind_s == 0)
        problems = [line["problem"] for line in watch.told("trouble")]
        assert len(problems) == len(set(problems))
        until(lambda: not [child for child in children if child.is_running()])
