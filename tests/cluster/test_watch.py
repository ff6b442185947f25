"""A watch over real files, with a gateway that only keeps books; no Ray."""

import asyncio
import os
import random
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from stub_gateway import a_collection, a_job
from waiting import eventually

from actors.choice import EVERYTHING, Choice
from actors.errors import (
    Conflict,
    GatewayUnavailable,
    InvalidRequest,
    NotFound,
    NothingToIndex,
    StorageError,
)
from cluster.ingest.held import in_scope
from cluster.ingest.walk import walk
from cluster.protocol import Chosen
from cluster.watch import Watch


def contents(top, scope="", choice=EVERYTHING):
    """Return what a walk finds, by path."""
    found = {}
    if (top / scope).exists():
        for file in walk(top, Path(scope), choice=choice).files:
            found[file.path] = (top / file.path).read_text()
    return found


def relative(path, top):
    below = os.path.relpath(path, top)
    return "" if below == "." else below


def make_repository(top):
    subprocess.run(["git", "init", "-q", top], check=True)


class Books:
    """What a gateway does with jobs, by the same walk: it stores texts by their paths.

    Attributes:
        stored: What it holds.
        jobs: The scopes of each job that was asked for.
        failures: What the next jobs raise.
        words: What watchers said: seconds behind, or "gone".
        choice: Which files it takes.
        may_walk, may_end: Jobs wait for these, before and after they look at files.
    """

    def __init__(self, top):
        self.top = top
        self.stored, self.jobs, self.failures, self.words = {}, [], [], []
        self.may_walk, self.may_end = asyncio.Event(), asyncio.Event()
        self.may_walk.set()
        self.may_end.set()
        self.is_deleted = False
        self.choice = EVERYTHING

    async def collections(self):
        return (a_collection(source="/elsewhere"), a_collection(source=""))

    async def index(self, paths, *, collection=None):
        self.jobs.append([relative(path, self.top) for path in paths])
        if self.failures:
            raise self.failures.pop(0)
        return a_job(id=str(len(self.jobs) - 1), collection=collection or "top")

    async def wait(self, job):
        await self.may_walk.wait()
        if not self.top.exists():
            raise NotFound(f"{self.top} does not exist")
        scopes = self.jobs[int(job.id)]
        found = {p: t for s in scopes for p, t in contents(self.top, s, self.choice).items()}
        await self.may_end.wait()
        gone = {p for p in self.stored if in_scope(p, set(scopes)) and p not in found}
        changed = {p for p, text in found.items() if self.stored.get(p) != text}
        left = {**{p: t for p, t in self.stored.items() if p not in gone}, **found}
        if not left:
            raise NothingToIndex("nothing to index")
        self.stored = left
        return a_job(collection=job.collection, files_changed=len(changed), files_removed=len(gone))

    async def watching(self, collection, *, watcher, behind_s, source):
        if self.is_deleted:
            raise NotFound(f"no collection {collection!r}")
        self.words.append(behind_s)
        return Chosen(include=self.choice.include, exclude=self.choice.exclude)

    async def unwatch(self, collection, *, watcher):
        self.words.append("gone")


class Told:
    def __init__(self):
        self.watched, self.publishes, self.troubles = [], [], []

    def watching(self, collection, folders):
        self.watched.append((collection, folders))

    def published(self, news):
        self.publishes.append(news)

    def trouble(self, problem):
        self.troubles.append(problem)


@pytest.fixture
def top(tmp_path):
    folder = tmp_path.resolve() / "top"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("a\n")
    (folder / "README.md").write_text("readme\n")
    return folder


@asynccontextmanager
async def watching(top, books=None, folders=None):
    """Watch until the block ends; it begins once all is up to date."""
    books, told = books or Books(top), Told()
    task = asyncio.create_task(Watch(books, folders or [top], None, told).run())
    try:
        await eventually(lambda: told.watched or task.done())
        books.task = task
        yield books, told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def follows(books):
    """Wait until what is stored is what a walk finds."""
    await eventually(lambda: books.stored == contents(books.top, choice=books.choice))


async def test_all_is_brought_up_to_date_first(top):
    async with watching(top) as (books, told):
        assert books.jobs == [[""]]
        assert books.stored == contents(top)
        assert told.watched == [("top", [str(top)])]
        assert told.publishes[0].job.files_changed == 2
        assert told.publishes[0].behind_s == 0


async def test_no_edit_is_lost_while_the_first_pass_goes_on(top):
    books = Books(top)
    books.may_end.clear()
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(Watch(books, [top], None, Told()).run())
        await eventually(lambda: books.jobs)
        await asyncio.sleep(0)  # the first pass has looked at the files
        (top / "src" / "a.py").write_text("edited\n")
        books.may_end.set()
        await follows(books)
        watch.cancel()


async def test_edits_creations_and_deletions_are_scopes_of_their_own(top):
    async with watching(top) as (books, _):
        (top / "src" / "a.py").write_text("edited\n")
        await follows(books)
        (top / "new.md").write_text("new\n")
        await follows(books)
        (top / "README.md").unlink()
        await follows(books)
        asked = {scope for scopes in books.jobs[1:] for scope in scopes}
        assert asked == {"src/a.py", "new.md", "README.md"}


async def test_a_save_by_rename_is_an_edit(top):
    async with watching(top) as (books, _):
        (top / "src" / ".a.py.swp").write_text("saved\n")
        (top / "src" / ".a.py.swp").replace(top / "src" / "a.py")
        await follows(books)
        assert books.stored["src/a.py"] == "saved\n"


async def test_folders_move_in_about_and_away_with_what_they_hold(top, tmp_path):
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "x.md").write_text("x\n")
    async with watching(top) as (books, _):
        outside.rename(top / "in")
        await follows(books)
        assert "in/deep/x.md" in books.stored
        (top / "in").rename(top / "src" / "moved")
        await follows(books)
        (top / "src" / "moved" / "deep" / "y.md").write_text("watched where it is now\n")
        await follows(books)
        (top / "src").rename(tmp_path / "away")
        await follows(books)
        assert set(books.stored) == {"README.md"}


async def test_a_file_becomes_a_folder_and_a_folder_a_file(top):
    async with watching(top) as (books, _):
        (top / "README.md").unlink()
        (top / "README.md").mkdir()
        (top / "README.md" / "inner.md").write_text("inner\n")
        await follows(books)
        shutil.rmtree(top / "src")
        (top / "src").write_text("a file\n")
        await follows(books)
        assert set(books.stored) == {"README.md/inner.md", "src"}


async def test_a_name_changes_its_case(top):
    async with watching(top) as (books, _):
        (top / "README.md").rename(top / "Readme.md")
        await follows(books)
        assert "Readme.md" in books.stored


async def test_a_link_into_an_ignored_folder_is_followed_through_its_changes(top):
    (top / ".gitignore").write_text("build/\n")
    (top / "build").mkdir()
    (top / "build" / "gen.py").write_text("one\n")
    async with watching(top) as (books, _):
        (top / "made").symlink_to("build")
        await follows(books)
        assert books.stored["made/gen.py"] == "one\n"
        (top / "build" / "gen.py").write_text("two\n")
        await follows(books)
        (top / "made").unlink()
        await follows(books)
        assert "made/gen.py" not in books.stored


async def test_a_folder_that_is_deleted_and_made_again_is_watched_again(top):
    async with watching(top) as (books, told):
        shutil.rmtree(top)
        await eventually(lambda: told.troubles)
        assert books.stored
        top.mkdir()
        (top / "again.md").write_text("again\n")
        await follows(books)
        (top / "again.md").write_text("and edited\n")
        await follows(books)


async def test_what_is_ignored_starts_no_job(top):
    (top / ".gitignore").write_text("build/\n*.log\n")
    make_repository(top)
    async with watching(top) as (books, _):
        (top / "build").mkdir()
        for number in range(20):
            (top / "build" / f"{number}.o").write_text("object\n")
            (top / "server.log").write_text(f"{number}\n")
            (top / ".git" / "index").write_text(f"{number}\n")
            (top / "logo.png").write_bytes(b"\x89PNG")
        (top / "new.md").write_text("comes last\n")
        await follows(books)
        assert books.jobs[1:] == [["new.md"]]


async def test_what_the_collection_does_not_take_starts_no_job_until_it_does(top):
    books = Books(top)
    books.choice = Choice(exclude=("*.log",))
    async with watching(top, books):
        await eventually(lambda: books.words)
        (top / "server.log").write_text("log\n")
        (top / "new.md").write_text("comes last\n")
        await follows(books)
        assert books.jobs[1:] == [["new.md"]]
        books.choice = EVERYTHING
        (top / "new.md").write_text("edited\n")
        await follows(books)
        assert "server.log" in books.stored


async def test_an_edit_of_rules_holds_for_the_folder_that_they_govern(top):
    (top / "src" / "b.log").write_text("b\n")
    (top / "c.log").write_text("c\n")
    async with watching(top) as (books, _):
        (top / "src" / ".gitignore").write_text("*.log\n")
        await follows(books)
        assert books.jobs[1] == ["src"]
        assert "c.log" in books.stored
        (top / ".shoalignore").write_text("*.log\n")
        await follows(books)
        assert "c.log" not in books.stored
        (top / "src" / ".gitignore").unlink()
        (top / ".shoalignore").unlink()
        await follows(books)
        assert {"src/b.log", "c.log"} <= set(books.stored)


async def test_rules_above_what_is_watched_hold_too(top):
    make_repository(top)
    source = top / "src"
    (source / "b.log").write_text("b\n")
    async with watching(source) as (books, _):
        (top / ".gitignore").write_text("*.log\n")
        await follows(books)
        assert set(books.stored) == {"a.py"}


async def test_several_folders_are_one_collection(top):
    for name in ("docs", "other"):
        (top / name).mkdir()
        (top / name / "x.md").write_text("x\n")
    async with watching(top, folders=[top / "src", top / "docs"]) as (books, _):
        assert books.jobs == [["docs", "src"]]
        (top / "other" / "x.md").write_text("not watched\n")
        (top / "docs" / "x.md").write_text("edited\n")
        await eventually(lambda: books.stored["docs/x.md"] == "edited\n")
        assert books.jobs[1:] == [["docs/x.md"]]


async def test_what_changes_while_a_job_runs_is_one_job_after_it(top):
    async with watching(top) as (books, _):
        books.may_end.clear()
        (top / "first.md").write_text("first\n")
        await eventually(lambda: len(books.jobs) == 2)
        for number in range(50):
            (top / f"{number}.md").write_text("more\n")
            await asyncio.sleep(0)
        (top / "last.md").write_text("last\n")
        books.may_end.set()
        await follows(books)
        assert books.jobs[1] == ["first.md"]
        # A writer that the machine holds up for longer than the pause is two batches; fifty never.
        assert len(books.jobs) <= 5


async def test_many_changes_are_a_job_over_their_folder(top):
    async with watching(top) as (books, _):
        books.may_walk.clear()
        (top / "first.md").write_text("first\n")
        await eventually(lambda: len(books.jobs) == 2)
        (top / "many").mkdir()
        for number in range(500):
            (top / "many" / f"{number}.md").write_text("many\n")
        books.may_walk.set()
        await follows(books)
        assert all(len(scopes) <= 200 for scopes in books.jobs)
        assert ["many"] in books.jobs


async def test_the_last_file_goes_and_the_watch_goes_on(top):
    async with watching(top) as (books, told):
        shutil.rmtree(top / "src")
        (top / "README.md").unlink()
        await eventually(lambda: told.troubles)
        assert told.troubles == ["nothing to index"]
        assert books.stored
        await eventually(lambda: books.words[-1] > 0)
        (top / "new.md").write_text("new\n")
        await follows(books)
        await eventually(lambda: books.words[-1] == 0)


async def test_an_empty_folder_can_be_watched_until_there_is_something(tmp_path):
    top = tmp_path.resolve() / "empty"
    top.mkdir()
    books, told = Books(top), Told()
    task = asyncio.create_task(Watch(books, [top], None, told).run())
    await eventually(lambda: told.troubles)
    (top / "a.md").write_text("a\n")
    await eventually(lambda: told.watched)
    await follows(books)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_gateway_that_is_away_is_waited_for_and_told_of_once(top):
    async with watching(top) as (books, told):
        books.failures += [GatewayUnavailable("no gateway runs")] * 3
        (top / "new.md").write_text("new\n")
        await follows(books)
        assert told.troubles == ["no gateway runs"]
        assert books.jobs[1:] == [["new.md"], [""], [""], [""]]


async def test_a_job_that_fails_is_tried_again_over_everything(top):
    async with watching(top) as (books, told):
        books.failures.append(StorageError("the disk is full"))
        (top / "new.md").write_text("new\n")
        await follows(books)
        assert told.troubles == ["the disk is full"]
        assert books.jobs[1:3] == [["new.md"], [""]]
        books.failures.append(StorageError("the disk is full"))
        (top / "more.md").write_text("more\n")
        await follows(books)
        assert told.troubles == ["the disk is full"] * 2  # told anew: it had been well meanwhile


async def test_another_writer_is_built_upon(top):
    books = Books(top)
    books.failures.append(Conflict("another writer changed it"))
    async with watching(top, books):
        books.failures.append(Conflict("another writer changed it"))
        (top / "new.md").write_text("new\n")
        await follows(books)
        assert books.jobs == [[""], [""], ["new.md"], ["new.md"]]


async def test_a_first_pass_that_cannot_succeed_ends_the_watch(top):
    books = Books(top)
    books.failures.append(InvalidRequest("collection 'x' holds another folder"))
    with pytest.raises(InvalidRequest, match="another folder"):
        await Watch(books, [top], "x", Told()).run()


async def test_the_gateway_is_told_at_once_and_at_the_end(top):
    async with watching(top) as (books, told):
        await eventually(lambda: books.words == [0.0])
        books.may_end.clear()
        (top / "new.md").write_text("new\n")
        await eventually(lambda: books.words[-1] > 0)
        books.may_end.set()
        await eventually(lambda: books.words[-1] == 0)
        assert told.publishes[-1].behind_s > 0
    assert books.words[-1] == "gone"


async def test_a_collection_that_somebody_deletes_is_watched_no_more(top):
    async with watching(top) as (books, _):
        books.is_deleted = True
        (top / "new.md").write_text("new\n")
        with pytest.raises(NotFound, match="was deleted, so the watch ends"):
            await books.task


@pytest.mark.parametrize(("name", "error"), [("README.md", InvalidRequest), ("nowhere", NotFound)])
def test_only_folders_can_be_watched(top, name, error):
    with pytest.raises(error, match=name):
        Watch(Books(top), [top / name], None, Told())


class Files:
    """Random operations on files and folders.

    Args:
        top: Where.
        seed: Makes them the same again.
    """

    def __init__(self, top, seed):
        self.top = top
        self.random = random.Random(seed)
        self.count = 0

    def do(self):
        self.count += 1
        kind = self.random.choice(["create", "edit", "delete", "move", "swap", "nest", "ignore"])
        getattr(self, kind)()

    def entries(self):
        return sorted(path for path in self.top.rglob("*") if path != self.top)

    def some(self, *, folder):
        return [path for path in self.entries() if path.is_dir() == folder]

    def place(self):
        return self.random.choice([self.top, *self.some(folder=True)]) / f"n{self.count}"

    def create(self):
        self.place().with_suffix(".md").write_text(f"made {self.count}\n")

    def nest(self):
        deep = self.place() / "inner"
        deep.mkdir(parents=True)
        (deep / "x.md").write_text(f"nested {self.count}\n")

    def edit(self):
        if files := self.some(folder=False):
            self.random.choice(files).write_text(f"edited {self.count}\n")

    def delete(self):
        if entries := self.entries():
            _remove(self.random.choice(entries))

    def move(self):
        if entries := self.entries():
            path, to = self.random.choice(entries), self.place()
            if path not in (to, *to.parents):
                path.rename(to)

    def swap(self):
        if entries := self.entries():
            path = self.random.choice(entries)
            was_folder = path.is_dir()
            _remove(path)
            if was_folder:
                path.write_text(f"swapped {self.count}\n")
            else:
                path.mkdir()
                (path / "y.md").write_text(f"swapped {self.count}\n")

    def ignore(self):
        folder = self.random.choice([self.top, *self.some(folder=True)])
        names = [path.name for path in folder.iterdir() if path.name != "keep.md"]
        rules = folder / ".gitignore"
        if names and not rules.is_dir():
            rules.write_text(self.random.choice(names) + "\n")


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_done_to_files_what_is_stored_is_what_a_walk_finds(tmp_path, seed):
    top = tmp_path.resolve() / "top"
    top.mkdir()
    files = Files(top, seed)
    for _ in range(5):
        files.create()
        files.nest()
        files.count += 1
    async with watching(top) as (books, _):
        for _ in range(40):
            files.do()
            if files.random.random() < 0.3:
                await asyncio.sleep(files.random.random() * 0.3)
        (top / "keep.md").write_text("the last\n")  # so that there is something, whatever else
        await follows(books)
