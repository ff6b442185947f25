"""What `kubectl kustomize` makes of the manifests."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = PROJECT / ".venv" / "k8s"
"""Where `make .venv/.k8s` puts kubectl, hadolint and the schemas of Kubernetes' own kinds."""
OVERLAYS = ("dev", "cpu", "gpu")
EXTRAS = ("extras/ingress", "extras/monitoring", "jobs/reindex")


def tool(name):
    """Return the path of a tool; skip where it is neither beside the project nor on the machine."""
    own = TOOLS / "bin" / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        reason = f"there is no {name}; `make .venv/.k8s` installs it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@cache
def render(folder):
    """Return a kustomization of k8s/, or of an absolute folder, as text."""
    done = subprocess.run(
        [tool("kubectl"), "kustomize", str(PROJECT / "k8s" / folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(folder):
    """Return the documents of a kustomization."""
    return list(yaml.safe_load_all(render(folder)))


def overlay(name):
    """Return the documents of an overlay."""
    return manifests(f"overlays/{name}")


def only(documents, kind, name=None):
    """Return the one document of a kind."""
    (found,) = (d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"]))
    return found


def groups(documents):
    """Return the head's group and those of workers, by their names."""
    cluster = only(documents, "RayService")["spec"]["rayClusterConfig"]
    workers = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"], **workers}


def pod_templates(documents):
    """Return the template of every pod that documents make, by who makes it."""
    found = {}
    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        name = f"{kind}/{document['metadata']['name']}"
        if kind == "RayService":
            found |= {f"{name}/{n}": g["template"] for n, g in groups(documents).items()}
        elif kind == "CronJob":
            found[name] = spec["jobTemplate"]["spec"]["template"]
        elif "template" in spec:
            found[name] = spec["template"]
    return found


def settings_of(documents):
    """Return what is set in the pods' environment."""
    return next(
        d["data"]
        for d in documents
        if d["kind"] == "ConfigMap" and d["metadata"]["name"].startswith("shoal-settings")
    )
