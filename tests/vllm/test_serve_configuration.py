"""What the manifests for Kubernetes give to Ray Serve, held against its own schema."""

from pathlib import Path

import pytest
import yaml

K8S = Path(__file__).resolve().parents[2] / "k8s"


def configurations():
    base = yaml.safe_load((K8S / "base/rayservice.yaml").read_text())
    dev = yaml.safe_load((K8S / "overlays/dev/rayservice.yaml").read_text())
    yield base["spec"]["serveConfigV2"]
    yield next(patch["value"] for patch in dev if patch["path"] == "/spec/serveConfigV2")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Serve's own, when it is imported
@pytest.mark.parametrize("configuration", [*configurations()])
def test_serve_takes_it_and_knows_the_deployment(configuration):
    from ray.serve.schema import ServeDeploySchema

    (application,) = ServeDeploySchema.model_validate(yaml.safe_load(configuration)).applications
    (deployment,) = application.deployments
    assert deployment.name == "gateway"
    assert deployment.max_replicas_per_node == 1
    assert deployment.ray_actor_options.label_selector == {"shoal-gateway": "yes"}
