"""The `shoal` command as a person, a script and another program meet it."""

import json
import os

import pytest
from command import run_shoal


@pytest.fixture
def run(gateway, tmp_path):
    """Run a command against the session's gateway, from an empty folder."""

    def call(*args, **options):
        cwd = options.pop("cwd", tmp_path)
        return run_shoal(*map(str, args), "--root", gateway.root, cwd=cwd, **options)

    return call


@pytest.fixture
def indexed(run, folder):
    name = f"cli-{folder.parent.name[-30:]}".lower()
    assert run("index", folder, "--collection", name).returncode == 0
    return name


def test_json_is_one_document_on_stdout_and_nothing_else(run, indexed):
    done = run("search", "least recently used", "--collection", indexed, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    told = {"hits", "coverage", "collections", "timings_ms", "more", "rerank_problem"}
    assert set(answer) == told
    assert {
        "collection",
        "path",
        "start_line",
        "end_line",
        "language",
        "symbol",
        "score",
        "text",
    } <= (set(answer["hits"][0]))
    assert answer["coverage"] == 1.0
    (searched,) = answer["collections"]
    assert (searched["name"], searched["generation"], searched["coverage"]) == (indexed, 1, 1.0)


def test_a_hit_is_printed_as_a_place_that_editors_open(run, indexed):
    done = run("search", "evict", "--collection", indexed, "--mode", "lexical", "--limit", "1")
    assert done.stdout.startswith("src/cache.py:1-3  evict")
    assert "entries.pop()" in done.stdout


def test_indexing_says_what_it_cost(run, folder):
    done = run("index", folder, "--collection", "cost")
    assert "4 files found" in done.stdout
    assert "chunks written in" in done.stdout
    assert "MB in" in done.stdout
    assert "skipped: 1 ignored" in done.stdout


def test_a_relative_path_is_that_of_the_callers_folder(run, folder):
    done = run("index", ".", "--collection", "relative", "--json", cwd=folder)
    assert json.loads(done.stdout)["files_total"] == 4


@pytest.mark.parametrize("command", ["status", "collections", "config"])
def test_every_report_has_a_json_form(run, command):
    done = run(command, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)


def test_status_names_every_actor_and_its_memory(run, indexed):
    status = json.loads(run("status", "--json").stdout)
    kinds = {replica["kind"] for replica in status["replicas"]}
    assert kinds == {"Embedder", "ShardHost", "Router", "Steward"}
    assert all(
        0 < replica["pss_bytes"] < replica["limit_bytes"] and not replica["problem"]
        for replica in status["replicas"]
    )
    assert status["memory_bytes"] > 0


def test_status_of_a_root_without_a_gateway_starts_none(tmp_path):
    done = run_shoal("status", "--json", "--root", str(tmp_path / "elsewhere"))
    assert json.loads(done.stdout)["running"] is False


def test_config_masks_the_token(run):
    done = run("config", env={**os.environ, "SHOAL_TOKEN": "secret-token"})
    assert "secret-token" not in done.stdout
    assert "SHOAL_TOKEN=**********" in done.stdout


def test_the_version_is_told():
    assert run_shoal("--version").stdout.startswith("shoal 0.")


MISUSE = [
    (["search", "x", "--limit", "0"], "--limit"),
    (["search", "x", "--limit", "10000"], "--limit"),
    (["search", "x", "--mode", "psychic"], "mode"),
    (["search", "   "], "the query is empty"),
    (["search"], "Missing argument"),
    (["serch", "x"], "No such command"),
    (["index"], "Missing argument"),
    (["index", ".", "--collection", "../up"], "cannot name a collection"),
    (["search", "x", "--nonsense"], "No such option"),
]


@pytest.mark.parametrize(("args", "said"), MISUSE, ids=[" ".join(a) for a, _ in MISUSE])
def test_misuse_ends_with_2_and_says_what_is_wrong(run, args, said):
    done = run(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in done.stderr


FAILURES = [
    (["index", "/no/such/folder"], "/no/such/folder does not exist"),
    (["search", "x", "--collection", "nowhere"], "no collection 'nowhere'"),
    (["delete", "nowhere"], "no collection 'nowhere'"),
    (["status", "--url", "http://127.0.0.1:9"], "check the URL"),
]


@pytest.mark.parametrize(("args", "said"), FAILURES, ids=[" ".join(a) for a, _ in FAILURES])
def test_a_failure_ends_with_1_and_names_the_way_out(run, args, said):
    done = run(*args)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in done.stderr


def test_debug_shows_where_it_failed(run):
    assert "Traceback" in run("delete", "nowhere", "--debug").stderr


def test_a_setting_that_cannot_be_is_named(run):
    done = run("status", env={**os.environ, "SHOAL_SHARDS": "0"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: SHOAL_SHARDS is '0': ")
    assert len(done.stderr.splitlines()) == 1


def test_a_hit_cannot_command_the_terminal(run, folder):
    (folder / "src" / "new\nline.md").write_text("\x1b[31m zebra\x07\n")
    run("index", folder, "--collection", "terminal")
    done = run("search", "zebra", "--collection", "terminal", "--mode", "lexical")
    assert done.stdout.splitlines()[0].startswith("src/new line.md:1-1")
    assert "\x1b" not in done.stdout
    assert "zebra" in done.stdout


def test_an_unknown_model_is_refused_with_those_there_are(tmp_path):
    done = run_shoal(
        "up", "--root", str(tmp_path), env={**os.environ, "SHOAL_MODEL": "static:/no/such/model"}
    )
    assert done.returncode == 1
    assert "/no/such/model" in done.stderr


def test_a_gateway_with_another_model_is_not_silently_used(run):
    done = run("search", "x", env={**os.environ, "SHOAL_MODEL": "static:/another"})
    assert done.returncode == 1
    assert "shoal down" in done.stderr
