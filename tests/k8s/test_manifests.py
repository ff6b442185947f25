"""The manifests for Kubernetes, as kustomize renders them."""

import inspect
import re
import shutil
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from rendered import (
    EXTRAS,
    OVERLAYS,
    PROJECT,
    TOOLS,
    groups,
    manifests,
    only,
    overlay,
    pod_templates,
    render,
    settings_of,
    tool,
)
from shared_files import shared_file

from mcp_adapter.deployment import DeploymentSettings
from mcp_adapter.deployment import settings_of as accepted

SELECTS_PODS = {
    "Service": lambda spec: [spec["selector"]],
    "PodDisruptionBudget": lambda spec: [spec["selector"]],
    "PodMonitor": lambda spec: [spec["selector"]],
    "StatefulSet": lambda spec: [spec["selector"]],
    "NetworkPolicy": lambda spec: [
        spec["podSelector"],
        *(
            peer["podSelector"]
            for rule in spec["ingress"]
            for peer in rule["from"]
            if peer.get("podSelector") and "namespaceSelector" not in peer
        ),
    ],
}


def selects(selector, labels):
    wanted = selector if not {"matchLabels", "matchExpressions"} & selector.keys() else None
    wanted = selector.get("matchLabels", {}) if wanted is None else wanted
    expressions = selector.get("matchExpressions", [])
    assert all(e["operator"] == "In" for e in expressions), "only In is understood here"
    return wanted.items() <= labels.items() and all(
        labels.get(e["key"]) in e["values"] for e in expressions
    )


def test_what_is_rendered_is_valid(tmp_path):
    validator, crds = shared_file("tools/validate_manifests.py"), shared_file("k8s-crds")
    tool("kubernetes-validate")
    files = []
    for folder in [*(f"overlays/{name}" for name in OVERLAYS), *EXTRAS]:
        known = [d for d in manifests(folder) if d["kind"] != "PodMonitor"]  # no schema is at hand
        files.append(tmp_path / f"{folder.replace('/', '-')}.yaml")
        files[-1].write_text(yaml.safe_dump_all(known))
    done = subprocess.run(
        [sys.executable, str(validator), str(crds), *map(str, files)],
        env={"PYTHONPATH": str(TOOLS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("RayService/shoal") == len(OVERLAYS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_selector_selects_nothing(name):
    documents = overlay(name)
    labels = [t["metadata"]["labels"] for t in pod_templates(documents).values()]
    for document in [*documents, *manifests("extras/monitoring")]:
        for selector in SELECTS_PODS.get(document["kind"], lambda _: [])(document.get("spec")):
            assert any(selects(selector, these) for these in labels), (document, selector)


def references(node, kind):
    """Yield the names by which a pod template or a RayService asks for objects of a kind."""
    keys = {
        "Secret": ("secretRef", "secretKeyRef", "secret"),
        "ConfigMap": ("configMapRef", "configMapKeyRef", "configMap"),
        "PersistentVolumeClaim": ("persistentVolumeClaim",),
    }[kind]
    if isinstance(node, list):
        for item in node:
            yield from references(item, kind)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in keys and not value.get("optional"):
                yield value.get("name") or value.get("secretName") or value["claimName"]
            else:
                yield from references(value, kind)
        if kind == "Secret" and "authOptions" in node:
            yield node["authOptions"]["secretName"]


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("kind", ["Secret", "ConfigMap", "PersistentVolumeClaim"])
def test_what_pods_refer_to_is_there(name, kind):
    documents = overlay(name)
    there = {d["metadata"]["name"] for d in documents if d["kind"] == kind}
    asked = set(references(documents, kind))
    assert asked <= there, asked - there
    assert asked or kind == "PersistentVolumeClaim"


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_has_the_account_that_is_there_and_only_the_head_sees_its_token(name):
    documents = overlay(name)
    account = only(documents, "ServiceAccount")["metadata"]["name"]
    for who, template in pod_templates(documents).items():
        assert template["spec"]["serviceAccountName"] == account
        assert template["spec"]["automountServiceAccountToken"] is who.endswith("/head"), who
        assert template["spec"]["enableServiceLinks"] is False  # else SHOAL_REDIS_PORT and others


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_are_allowed_where_pod_security_is_restricted(name):
    documents = overlay(name)
    labels = only(documents, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    autoscaler = only(documents, "RayService")["spec"]["rayClusterConfig"]["autoscalerOptions"]
    containers = [autoscaler]
    for template in pod_templates(documents).values():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        containers += pod["containers"]
    for container in containers:
        confined = container["securityContext"]
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", OVERLAYS)
def test_requests_are_limits_and_images_are_pinned(name):
    for template in pod_templates(overlay(name)).values():
        for container in template["spec"]["containers"]:
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert re.search(r":\d+\.\d+\.\d+", container["image"]), container["image"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_of_ray_have_the_probes_that_kuberay_gives_them_and_others_their_own(name):
    for who, template in pod_templates(overlay(name)).items():
        (container,) = template["spec"]["containers"]
        probes = {key for key in container if key.endswith("Probe")}
        if who.startswith("StatefulSet/"):
            assert probes == {"livenessProbe", "readinessProbe"}
        else:
            assert probes == set(), "KubeRay adds its own only where there is none"


@pytest.mark.parametrize("name", OVERLAYS)
def test_ray_is_the_one_that_the_image_has_and_is_locked_by_a_token(name):
    cluster = only(overlay(name), "RayService")["spec"]["rayClusterConfig"]
    lock = (PROJECT / "docker/cpu.lock").read_text()
    assert f"\nray=={cluster['rayVersion']} " in f"\n{lock}"
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["gcsFaultToleranceOptions"]["redisAddress"] == "shoal-redis:6379"
    for group in groups(overlay(name)).values():
        assert "restartPolicy" not in group["template"]["spec"]  # autoscaler v2 demands it
        names = {
            e["name"] for c in group["template"]["spec"]["containers"] for e in c.get("env", ())
        }
        assert not names & {"RAY_REDIS_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"}  # KubeRay's


@pytest.mark.parametrize("name", OVERLAYS)
def test_secrets_hold_nothing(name):
    secrets = [d for d in overlay(name) if d["kind"] == "Secret"]
    assert len(secrets) == 2
    assert not any(value for secret in secrets for value in secret["data"].values())


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_budget_for_disruptions_lets_pods_go_one_by_one(name):
    documents = overlay(name)
    hosts = groups(documents)["hosts"]
    budget = only(documents, "PodDisruptionBudget", "shoal-hosts")["spec"]
    assert budget["minAvailable"] == hosts["minReplicas"] - 1  # a share is not allowed for them


@pytest.mark.parametrize("name", OVERLAYS)
def test_names_leave_room_for_what_kuberay_adds(name):
    assert len(only(overlay(name), "RayService")["metadata"]["name"]) <= 47
    assert len(only(manifests("jobs/reindex"), "RayJob")["metadata"]["name"]) <= 47


@pytest.mark.parametrize("name", OVERLAYS)
def test_serve_runs_our_application_with_arguments_that_it_takes(name, monkeypatch):
    documents = overlay(name)
    config = yaml.safe_load(only(documents, "RayService")["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    module, _, attribute = application["import_path"].partition(":")
    assert callable(getattr(import_module(module), attribute))
    for key, value in settings_of(documents).items():
        monkeypatch.setenv(key, value)
    settings = accepted(application["args"])
    assert settings.gateways == groups(documents)["hosts"]["replicas"]
    assert settings.root_uri in ("/data/shoal", "s3://REPLACE-BUCKET/shoal")


@pytest.mark.parametrize("name", OVERLAYS)
def test_gateways_are_placed_where_the_tokens_are(name):
    config = yaml.safe_load(only(overlay(name), "RayService")["spec"]["serveConfigV2"])
    (deployment,) = config["applications"][0]["deployments"]
    wanted = deployment["ray_actor_options"]["label_selector"].items()
    for group, spec in groups(overlay(name)).items():
        (container,) = spec["template"]["spec"]["containers"]
        has_token = "SHOAL_TOKEN" in {e["name"] for e in container.get("env", ())}
        assert has_token == (wanted <= spec["labels"].items()) == (group == "hosts")


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_setting_is_one(name):
    fields = {f"SHOAL_{field.upper()}" for field in DeploymentSettings.model_fields}
    ours = {key for key in settings_of(overlay(name)) if key.startswith("SHOAL_")}
    assert ours <= fields, ours - fields


@pytest.mark.parametrize("name", OVERLAYS)
def test_callers_in_the_cluster_may_address_the_service_by_its_names(name):
    allowed = settings_of(overlay(name))["SHOAL_ALLOWED_HOSTS"].split()
    cron = only(overlay(name), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    url = next(e["value"] for e in cron["containers"][0]["env"] if e["name"] == "SHOAL_URL")
    assert url.removeprefix("http://").partition(":")[0] in allowed
    backend = only(manifests("extras/ingress"), "Ingress")["spec"]["rules"][0]["http"]["paths"][0]
    assert backend["backend"]["service"]["name"] == "shoal-serve-svc"


def test_prometheus_asks_at_ports_that_are_there():
    documents = manifests("extras/monitoring")
    ray, shoal = only(documents, "PodMonitor", "shoal-ray"), only(documents, "PodMonitor", "shoal")
    ports = {
        name: {
            p["name"]: p["containerPort"] for p in g["template"]["spec"]["containers"][0]["ports"]
        }
        for name, g in groups(overlay("cpu")).items()
    }
    assert ray["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    assert {each["metrics"] for each in ports.values()} == {8080}  # where KubeRay has Ray tell them
    assert shoal["spec"]["podMetricsEndpoints"][0]["port"] == "serve"
    assert ports["hosts"]["serve"] == 8000
    policy = only(overlay("cpu"), "NetworkPolicy", "shoal-metrics")["spec"]
    assert {p["port"] for p in policy["ingress"][0]["ports"]} == {8000, 8080}


def test_the_operator_may_come_in():
    policy = only(overlay("cpu"), "NetworkPolicy", "shoal-ray")["spec"]
    operator = next(r for r in policy["ingress"] if "namespaceSelector" in r["from"][0])
    labels = operator["from"][0]["podSelector"]["matchLabels"]
    assert labels == {"app.kubernetes.io/name": "kuberay-operator"}
    assert {p["port"] for p in operator["ports"]} == {8265, 8000}


def test_the_nightly_job_is_a_command_that_exists():
    pod = only(overlay("cpu"), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, *words = [*container["command"], *container["args"]]
    done = subprocess.run(
        [Path(sys.executable).with_name(command), *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in words if word.startswith("--"))


def test_the_job_on_the_cluster_is_a_module_that_takes_its_options():
    words = only(manifests("jobs/reindex"), "RayJob")["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-P", "-m"]
    taken = inspect.signature(import_module(words[3]).main).parameters
    assert {word[2:] for word in words[4:] if word.startswith("--")} <= taken.keys()


def test_gpus_are_asked_for_from_none_by_one_group_with_an_image_of_its_own():
    documents = overlay("gpu")
    asking = {
        name
        for name, group in groups(documents).items()
        if "nvidia.com/gpu" in group["template"]["spec"]["containers"][0]["resources"]["limits"]
    }
    assert asking == {"embedders"}
    embedders = groups(documents)["embedders"]
    assert embedders["minReplicas"] == 0 < embedders["maxReplicas"]
    assert embedders["template"]["spec"]["containers"][0]["image"].endswith("-gpu")


def test_a_change_of_settings_changes_the_cluster():
    names = {re.search(r"shoal-settings-\w+", render(f"overlays/{o}"))[0] for o in OVERLAYS}
    assert len(names) == len(OVERLAYS)


def test_the_overlay_of_the_documentation_has_secrets_and_images_of_its_own(tmp_path):
    told = re.search(r"```yaml\n(.*?)```", (PROJECT / "docs/kubernetes.md").read_text(), re.DOTALL)
    shutil.copytree(PROJECT / "k8s", tmp_path / "k8s")
    mine = tmp_path / "k8s/overlays/mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(textwrap.dedent(told[1]))
    (mine / "tokens.env").write_text("SHOAL_TOKEN=ours\nauth_token=rays\nSHOAL_TOKENS=\n")
    (mine / "redis.env").write_text("password=secret\n")
    documents = manifests(mine)
    secrets = [d for d in documents if d["kind"] == "Secret"]
    held = {key for secret in secrets for key, value in secret["data"].items() if value}
    assert held == {"SHOAL_TOKEN", "auth_token", "password"}
    assert {s["metadata"]["name"] for s in secrets} <= set(references(documents, "Secret"))
    images = {
        container["image"].rpartition(":")[0]
        for who, template in pod_templates(documents).items()
        for container in template["spec"]["containers"]
        if not who.startswith("StatefulSet/")
    }
    assert images == {"registry.example.com/me/shoal"}
