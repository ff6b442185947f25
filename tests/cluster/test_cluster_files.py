"""The files that `ray up` takes: as Ray's own schema has it, with placeholders that fail loudly."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from shared_files import shared_file

from cluster.settings import Settings

CLUSTER = Path(__file__).parents[2] / "cluster"
NODE = CLUSTER / "node.sh"
FILES = ("local.yaml", "aws.yaml", "gcp.yaml")
CLOUDS = {"aws.yaml": "s3://", "gcp.yaml": "gs://"}
SCHEMA = json.loads(
    (Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8")
)


def loaded(name):
    return yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))


def install_command(config):
    (command,) = (line for line in config["setup_commands"] if "node.sh install" in line)
    return command


def settings_of(config):
    given = install_command(config).partition("install")[2]
    return dict(re.findall(r"\b(\w+)=(\S+)", given))


@pytest.mark.parametrize("name", FILES)
def test_ray_takes_the_file(name):
    jsonschema.validate(loaded(name), SCHEMA)
    prepared = prepare_config(loaded(name))
    validate_config(prepared)
    assert prepared["head_node_type"] in prepared["available_node_types"]


def test_so_does_a_validator_that_is_not_ours():
    validator = shared_file("tools/validate_cluster_yaml.py")
    done = subprocess.run(
        [sys.executable, validator, *(CLUSTER / name for name in FILES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.count("ok ")) == (0, len(FILES)), done.stdout


@pytest.mark.parametrize("name", FILES)
def test_every_setting_of_ours_is_one(name):
    ours = {key for key in settings_of(loaded(name)) if key.startswith("SHOAL_")}
    known = {f"SHOAL_{field.upper()}" for field in Settings.model_fields}
    assert ours <= known
    assert "SHOAL_ROOT" in ours


@pytest.mark.parametrize("name", FILES)
def test_the_gateway_waits_for_as_many_machines_as_there_are_to_be(name):
    config = prepare_config(loaded(name))
    workers = sum(kind.get("min_workers", 0) for kind in config["available_node_types"].values())
    (serve,) = (line for line in config["head_start_ray_commands"] if "node.sh serve" in line)
    assert serve.split("serve")[1].split()[0] == str(workers + 1)


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_start_from_no_gpu_and_take_spot_machines_and_object_stores(name):
    config = loaded(name)
    kinds = config["available_node_types"]
    assert kinds["gpu"]["min_workers"] == 0 < kinds["gpu"]["max_workers"]
    assert kinds["cpu"]["min_workers"] > 1
    for kind in ("cpu", "gpu"):
        assert re.search("spot|preemptible", json.dumps(kinds[kind]["node_config"]))
    assert not re.search("spot|preemptible", json.dumps(kinds["head"]["node_config"]))
    assert settings_of(config)["SHOAL_ROOT"].startswith(CLOUDS[name])


@pytest.mark.parametrize("name", CLOUDS)
def test_what_must_be_replaced_is_refused_until_it_is(name, tmp_path):
    arguments = install_command(loaded(name)).partition("install")[2].split()
    assert any("REPLACE-" in argument for argument in arguments)
    done = install(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: set {arguments[0]} in the cluster's YAML file")


def test_what_is_no_setting_is_refused(tmp_path):
    done = install(tmp_path, "SHOAL_ROOT=/srv/shoal", "hosts 3")
    assert (done.returncode, done.stderr) == (
        1,
        "error: 'hosts 3' is no setting: write NAME=VALUE\n",
    )


def test_a_local_cluster_has_no_placeholder():
    assert "REPLACE-" not in (CLUSTER / "local.yaml").read_text(encoding="utf-8")


def test_ray_is_not_started_where_nothing_is_installed(tmp_path):
    done = node(tmp_path, "ray", "start", "--head")
    assert done.returncode == 1
    assert "run node.sh install first" in done.stderr


def install(folder, *settings):
    return node(folder, "install", *settings)


def node(folder, *arguments):
    """Run the script as it lies on a machine whose home is a folder."""
    bundle = folder / ".shoal" / "bundle"
    bundle.mkdir(parents=True)
    script = bundle / NODE.name
    script.write_bytes(NODE.read_bytes())
    return subprocess.run(
        ["bash", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(folder)},
    )
