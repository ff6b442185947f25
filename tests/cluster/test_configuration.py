"""Settings from flags, environment and a file, and the page about them."""

import json
import os
from pathlib import Path

import pytest
from command import run_shoal

from actors.errors import InvalidRequest
from cluster import daemon
from cluster.configuration import misspelt, parse_flag
from cluster.configuration_page import page
from cluster.settings import SECRETS, Settings, origins

NAMES = Settings.model_fields


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write the settings file, and have it read."""

    def write(text):
        path = tmp_path / "shoal.toml"
        path.write_text(text)
        monkeypatch.setenv("SHOAL_CONFIG", str(path))
        return path

    return write


def test_flags_come_before_the_environment_that_before_the_file_and_that_before_defaults(
    file, monkeypatch
):
    path = file('hosts = 5\nrouters = 6\nembedders = 7\nembedder_memory = "2GiB"\n')
    monkeypatch.setenv("SHOAL_HOSTS", "3")
    monkeypatch.setenv("SHOAL_ROUTERS", "4")
    settings = Settings(routers=2)
    assert (settings.routers, settings.hosts, settings.embedders) == (2, 3, 7)
    assert settings.embedder_memory == 2 << 30
    found = origins(frozenset({"routers"}))
    assert (found["routers"], found["hosts"]) == ("flag", "environment")
    assert (found["embedders"], found["threads"]) == (f"file {path}", "default")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("replicaton = 2\n", "'replicaton' is not a setting; did you mean 'replication'\\?"),
        ("[shoal]\nhosts = 2\n", "'shoal' is not a setting; `shoal config` lists"),
        ("hosts = \n", "cannot be read: Invalid value"),
        ('root = "data"\n', "root is 'data'; write it in full"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_its_name(file, text, said):
    path = file(text)
    with pytest.raises(InvalidRequest, match=f"{path}.*{said}"):
        Settings()


def test_a_file_that_is_named_has_to_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(InvalidRequest, match=r"none\.toml is not there"):
        Settings()


def test_the_users_own_file_is_read_where_no_other_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("SHOAL_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert Settings().deadline_s == 10
    (tmp_path / "shoal").mkdir()
    (tmp_path / "shoal" / "shoal.toml").write_text("deadline_s = 3\n")
    assert Settings().deadline_s == 3
    monkeypatch.setenv("SHOAL_CONFIG", "")
    assert Settings().deadline_s == 10


@pytest.mark.parametrize(
    ("given", "parsed"),
    [("hosts=4", ("hosts", "4")), ("SHOAL_LOG-LEVEL=debug", ("log_level", "debug"))],
)
def test_a_flag_is_written_in_any_of_the_ways_people_write_names(given, parsed):
    assert parse_flag(given, NAMES, SECRETS) == parsed


@pytest.mark.parametrize(
    ("given", "said"),
    [("hosts", "NAME=VALUE"), ("hots=4", "did you mean 'hosts'"), ("token=x", "is a secret")],
)
def test_a_flag_that_cannot_be_is_refused(given, said):
    with pytest.raises(InvalidRequest, match=said):
        parse_flag(given, NAMES, SECRETS)


def test_a_misspelt_variable_is_told_and_a_strangers_is_not():
    environment = {"SHOAL_REPLICTION": "2", "SHOAL_SERVICE_HOST": "10.0.0.1", "SHOAL_HOSTS": "2"}
    assert misspelt(environment, NAMES) == {"SHOAL_REPLICTION": "SHOAL_REPLICATION"}


def test_another_process_is_given_the_same_settings(file, monkeypatch):
    file('token = "sixteen-characters"\nembedder_memory = "1GiB"\n')
    settings = Settings(hosts=3, tracing=True)
    given = settings.environment()
    monkeypatch.setenv("SHOAL_CONFIG", "")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
    assert given["SHOAL_TOKEN"] == "sixteen-characters"


def run(*args, **environment):
    return run_shoal(*args, env={**os.environ, **environment})


def test_config_tells_where_each_value_comes_from_and_shows_no_secret(file, tmp_path):
    path = file('token = "secret-of-the-file"\nhosts = 7\n')
    asked = ("config", "--config", str(path), "--set", "routers=3", "--root", str(tmp_path))
    done = run(*asked, "--json", SHOAL_EMBEDDERS="2", SHOAL_CONFIG="")
    told = json.loads(done.stdout)
    assert told["file"] == str(path)
    settings = told["settings"]
    assert settings["routers"] == {"value": 3, "from": "flag"}
    assert settings["embedders"] == {"value": 2, "from": "environment"}
    assert settings["hosts"] == {"value": 7, "from": f"file {path}"}
    assert settings["deadline_s"]["from"] == "default"
    written = run(*asked, SHOAL_HOTS="2").stdout
    assert f"SHOAL_HOSTS=7 (file {path})\n" in written
    assert f"SHOAL_TOKEN=********** (file {path})\n" in written
    assert "secret-of-the-file" not in done.stdout + written


def test_a_wrong_value_is_named_as_it_was_set(file, tmp_path):
    path = file("nodes = 0\n")
    for given, said in (
        (("--set", "nodes=none"), "error: --set nodes is 'none': "),
        ((), f"error: nodes (file {path}) is 0: "),
    ):
        done = run("config", *given)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(said)


def test_a_gateway_is_started_with_the_settings_of_its_command(file, monkeypatch, tmp_path):
    file("hosts = 5\nrouters = 2\n")
    started = []

    def popen(_command, *, env, **_options):
        started.append(env)
        raise OSError

    monkeypatch.setattr(daemon.subprocess, "Popen", popen)
    settings = Settings(root=str(tmp_path), hosts=1, url="http://elsewhere")
    with pytest.raises(OSError):  # noqa: PT011 - the one from above
        daemon.find_or_start(settings)
    (env,) = started
    names = ("SHOAL_HOSTS", "SHOAL_ROUTERS", "SHOAL_ROOT", "SHOAL_URL")
    assert [env[name] for name in names] == ["1", "2", str(tmp_path), ""]


def test_the_page_about_settings_is_up_to_date():
    committed = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert committed.read_text("utf-8") == page(), "run `make docs`, and commit what it wrote"
