"""Git repositories: which addresses are taken, what is fetched, and what an error may say."""

import asyncio
import os
from pathlib import Path

import pytest
from repositories import git

from actors.catalog import Catalog
from actors.engines.base import Fingerprint, silent
from actors.errors import InvalidRequest, NotFound
from actors.storage import Storage
from cluster.checkout import checked_out
from cluster.naming import choose_target
from cluster.repository import masked, repository

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 4)


@pytest.fixture
def origin(tmp_path):
    """A bare repository, and the folder that its commits are made in."""
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    commit(work, {"a.md": "# One\n", "src/b.py": "def two():\n    pass\n", ".gitignore": "*.log\n"})
    git(work, "tag", "-a", "v1", "-m", "first")
    git(tmp_path, "clone", "--quiet", "--bare", "work", "origin.git")
    return tmp_path / "origin.git", work


def commit(work, files):
    for name, text in files.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message=x")
    return git(work, "rev-parse", "HEAD")


async def contents(address, temporary):
    """Return the files that a job would find, by path, and what the collection would say."""
    async with checked_out(repository(address), temporary, 1 << 20, silent) as reached:
        found = reached.find()
        return {f.path: (Path(reached.root) / f.path).read_text() for f in found.files}, reached


async def test_a_branch_a_tag_and_a_commit_are_fetched_and_leave_nothing(origin, tmp_path):
    bare, work = origin
    first = git(work, "rev-parse", "HEAD")
    git(work, "checkout", "--quiet", "-b", "feature/x")
    second = commit(work, {"a.md": "# Two\n"})
    git(work, "push", "--quiet", str(bare), "feature/x")
    expected = {"": "One", "@v1": "One", "@feature/x": "Two", f"@{first}": "One"}
    for revision, said in expected.items():
        files, reached = await contents(f"git+file://{bare}{revision}", tmp_path / "temporary")
        assert files["a.md"] == f"# {said}\n"
        assert set(files) == {".gitignore", "a.md", "src/b.py"}
        wanted = revision or "@HEAD"
        assert reached.source == f"git+file://{bare}{wanted}#{second if said == 'Two' else first}"
        assert repository(reached.source) == repository(f"git+file://{bare}{wanted}")
    assert list((tmp_path / "temporary").iterdir()) == []


async def test_neither_hooks_nor_submodules_nor_links_out_are_followed(origin, tmp_path):
    bare, work = origin
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "gitconfig").write_text(f"[core]\n\thooksPath = {hooks}\n")
    git(work, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(bare), "sub")
    (work / "out").symlink_to("/etc/passwd")
    commit(work, {"c.md": "# C\n"})
    git(work, "push", "--quiet", str(bare), "main")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
        files, _ = await contents(f"git+file://{bare}", tmp_path / "temporary")
    assert set(files) == {".gitignore", ".gitmodules", "a.md", "c.md", "src/b.py"}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("git+file://{}@nope", "has no revision 'nope'"),
        ("git+file://{}@" + "0" * 40, "cannot be fetched"),
        ("git+file:///no/such/repository.git", "cannot be fetched"),
        ("git+http://user:secret@127.0.0.1:9/x.git", "http://127.0.0.1:9/x.git cannot be fetched"),
    ],
)
async def test_what_is_not_there_is_told_without_a_secret(origin, tmp_path, address, said):
    with pytest.raises(NotFound) as caught:
        await contents(address.format(origin[0]), tmp_path / "temporary")
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert list((tmp_path / "temporary").iterdir()) == []


async def test_without_git_it_is_said_what_to_install(origin, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound, match="there is no git on the gateway's machine; install it"):
        await contents(f"git+file://{origin[0]}", tmp_path / "temporary")


async def test_a_fetch_that_is_given_up_ends_git_and_leaves_nothing(tmp_path, monkeypatch):
    """A git of our own tells that it runs, and never ends."""
    told = tmp_path / "told"
    os.mkfifo(told)
    (tmp_path / "git").write_text(f"#!/bin/sh\necho $$ > {told}\nexec sleep 1000\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fetching = asyncio.create_task(contents("git+file:///x/y.git", tmp_path / "temporary"))
    pid = int(await asyncio.to_thread(told.read_text))
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        "git+ext::sh -c touch% /tmp/x",
        "git+ext://sh/x",
        "git+-oProxyCommand=x://h/y",
        "git+ssh://-oProxyCommand=x/y",
        "git+ssh://-oProxyCommand=x@h/y",
        "git+https://h/-y",
        "git+https://h/y@-c",
        "git+https://h/y@--upload-pack=x",
        "git+https://h/y@a:b",
        "git+https://h/y@+a",
        "git+https://h/y@^a",
        "git+https://h/y@a..b",
        "git+https://h/y@",
        "git+https://h/y@a b",
        "git+https://h/y z",
        "git+https://h/y\n",
        "git+https://h/y#nonsense",
        "git+https://h/",
        "git+https:///y",
        "git+file://host/y",
        "git+git@host:y",
        "git+https://user:sec/ret@h/y@-",
    ],
)
def test_an_address_that_git_could_mistake_is_refused(address):
    with pytest.raises(InvalidRequest, match="cannot be fetched") as caught:
        repository(address)
    assert "ret@" not in str(caught.value)


def test_credentials_are_kept_for_git_alone():
    wanted = repository("git+https://user:secret@host:8443/a/b.git@main")
    assert (wanted.url, wanted.revision) == ("https://host:8443/a/b.git", "main")
    assert wanted.secret_url == "https://user:secret@host:8443/a/b.git"
    assert "secret" not in f"{wanted} {wanted!r}"
    assert repository("git+ssh://git@host/b.git").url == "ssh://git@host/b.git"
    assert masked("cannot read 'https://token@h/x.git'") == "cannot read 'https://***@h/x.git'"


def test_another_revision_is_of_the_same_collection(tmp_path):
    catalog = Catalog(Storage(str(tmp_path)))
    new = choose_target(catalog, ["git+https://u:p@host/a/Shoal.git@v1"], None)
    assert (new.collection, new.root) == ("shoal", "git+https://host/a/Shoal.git")
    source = f"git+https://host/a/Shoal.git@v1#{'0' * 40}"
    catalog.publish(catalog.new("shoal", MODEL, 1, source))
    again = choose_target(catalog, ["git+https://host/a/Shoal.git@main"], None)
    assert (again.collection, again.root, again.scopes) == ("shoal", new.root, ("",))
    other = choose_target(catalog, ["git+https://host/b/Shoal.git"], None)
    assert other.collection.startswith("shoal-")
    with pytest.raises(InvalidRequest, match="holds git"):
        choose_target(catalog, ["git+https://host/b/Shoal.git"], "shoal")
