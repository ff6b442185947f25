"""Downloads, from a server on this machine that speaks the hub's protocol."""

from pathlib import Path

import pytest
from hub_server import serving
from tiny_onnx_model import write_model

from actors.engines.hub import choose

NAME = "someone/tiny"
PATTERNS = {
    "onnx": ("*.json", "*.onnx", "*.onnx_data*"),
    "gguf": ("*.gguf",),
    "vllm": ("*.json", "*.safetensors"),
}


@pytest.fixture
def hub():
    with serving() as hub:
        yield hub


@pytest.fixture
def published(hub, tmp_path):
    """The name of a commit with a tiny model and much that is not needed."""
    folder = write_model(tmp_path / "source", file="onnx/model.onnx", external=True)
    (folder / "onnx" / "model_O4.onnx").write_bytes(b"another form")
    (folder / "pytorch_model.bin").write_bytes(b"another format")
    with (folder / "onnx" / "model.onnx_data").open("ab") as file:
        file.write(b"\0" * 300_000)
    return hub.publish(NAME, folder, "v1")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["onnx/model.onnx", "onnx/model_O4.onnx", "a.json"], ["a.json", "onnx/model.onnx"]),
        (["model.onnx", "onnx/model_quantized.onnx"], ["onnx/model_quantized.onnx"]),
        (["onnx/model.onnx", "model.onnx"], ["model.onnx"]),
        (["model.onnx", "model.onnx_data"], ["model.onnx", "model.onnx_data"]),
        (["a.onnx", "b.onnx", "b.onnx_data"], ["a.onnx"]),
        (["m.Q4_0.gguf", "m.Q8_0.gguf", "a.json"], ["m.Q8_0.gguf"]),
        (["m.Q4_0.gguf", "model.onnx"], ["model.onnx"]),
        (
            ["1.safetensors", "2.safetensors", "a.json"],
            ["1.safetensors", "2.safetensors", "a.json"],
        ),
        (["a.json", "pytorch_model.bin"], []),
    ],
)
def test_of_a_repository_the_files_of_one_form_are_chosen(names, chosen):
    assert choose(names, PATTERNS) == chosen


def test_a_model_is_downloaded_with_progress_and_its_commit_is_said(hub, published, tmp_path):
    answer = hub.fetch(NAME, tmp_path / "cache")
    assert answer["spec"] == f"onnx:{NAME}@{published}"
    assert published in answer["path"]
    names = {name for name, _ in hub.asked}
    assert "onnx/model.onnx_data" in names
    assert names.isdisjoint({"onnx/model_O4.onnx", "pytorch_model.bin"})
    total = sum(len(hub.repositories[NAME][published][name]) for name in names)
    assert answer["told"][-1] == ["downloading", total, total]
    assert answer["cached"] == [NAME]


def test_a_revision_stays_what_it_was_when_the_branch_moves_on(hub, published, tmp_path):
    newer = hub.publish(NAME, write_model(tmp_path / "newer", pooled=True))
    for revision, commit in (("", newer), ("@v1", published), (f"@{published}", published)):
        answer = hub.fetch(f"onnx:{NAME}{revision}", tmp_path / "cache")
        assert answer["spec"] == f"onnx:{NAME}@{commit}"


@pytest.mark.parametrize(
    ("options", "environment"), [(["offline"], {}), ([], {"HF_HUB_OFFLINE": "1"})]
)
def test_what_was_downloaded_is_found_offline(hub, published, tmp_path, options, environment):
    for revision in ("", f"@{published}"):
        online = hub.fetch(NAME + revision, tmp_path / "cache")
        hub.asked.clear()
        offline = hub.fetch(NAME + revision, tmp_path / "cache", *options, **environment)
        assert offline["path"] == online["path"]
        assert not hub.asked


def test_what_was_not_downloaded_is_said_to_be_missing_offline(hub, published, tmp_path):
    answer = hub.fetch(f"onnx:{NAME}", tmp_path / "cache", "offline")
    assert answer["error"].startswith(f"ModelLoadError: cannot download {NAME}")
    assert not hub.asked


def test_a_download_that_breaks_off_goes_on(hub, published, tmp_path):
    hub.cut = 1
    answer = hub.fetch(NAME, tmp_path / "cache")
    data = Path(answer["path"] + "_data")
    assert data.read_bytes() == (tmp_path / "source" / "onnx" / "model.onnx_data").read_bytes()
    assert len([name for name, _ in hub.asked if name.endswith("_data")]) == 2


def test_a_download_whose_process_is_killed_is_finished_by_the_next(hub, published, tmp_path):
    hub.hold = True
    process = hub.start(NAME, tmp_path / "cache")
    assert hub.half_sent.wait(60)
    process.kill()
    process.communicate()
    hub.hold = False
    answer = hub.fetch(NAME, tmp_path / "cache", "again")
    data = Path(answer["path"] + "_data")
    assert data.read_bytes() == (tmp_path / "source" / "onnx" / "model.onnx_data").read_bytes()


@pytest.mark.parametrize(
    ("code", "reason"), [("GatedRepo", "accept them"), ("RepoNotFound", "no such repository")]
)
def test_a_repository_that_may_not_be_read_is_an_error_with_the_way_out(
    hub, tmp_path, code, reason
):
    hub.refused[NAME] = code
    hub.publish(NAME, write_model(tmp_path / "source"))
    answer = hub.fetch(f"onnx:{NAME}", tmp_path / "cache")
    assert reason in answer["error"]
    assert "copy its files" in answer["error"]
    assert "onnx:/path/to/tiny" in answer["error"]


def test_a_revision_that_is_not_there_is_said(hub, published, tmp_path):
    assert "no such revision" in hub.fetch(f"{NAME}@v9", tmp_path / "cache")["error"]


def test_a_repository_without_weights_is_an_error(hub, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "README.md").write_text("nothing")
    hub.publish(NAME, tmp_path / "source")
    assert "no such files" in hub.fetch(NAME, tmp_path / "cache")["error"]


def test_without_a_server_the_error_says_where_to_put_the_files(tmp_path):
    with serving() as gone:
        pass
    answer = gone.fetch(f"onnx:{NAME}", tmp_path / "cache")
    assert "cannot be reached" in answer["error"]
    assert "onnx:/path/to/tiny" in answer["error"]


def test_without_a_server_what_was_downloaded_is_used(tmp_path):
    with serving() as hub:
        hub.publish(NAME, write_model(tmp_path / "source"))
        online = hub.fetch(f"onnx:{NAME}", tmp_path / "cache")
    assert hub.fetch(f"onnx:{NAME}", tmp_path / "cache")["path"] == online["path"]
