"""The Dockerfile, which no engine builds here: its form, what it copies, what it pins."""

import re
import subprocess
import tomllib

import pytest
from rendered import PROJECT, tool

DOCKERFILE = (PROJECT / "Dockerfile").read_text()
LOCKS = ("build", "cpu", "gpu")


def stages():
    """Return the lines of each stage, by its name."""
    found, name = {}, None
    for line in DOCKERFILE.replace("\\\n", " ").splitlines():
        if match := re.match(r"FROM (\S+) AS (\S+)", line):
            name = match[2]
            found[name] = [f"FROM {match[1]}"]
        elif name and line.strip() and not line.startswith("#"):
            found[name].append(line)
    return found


def versions(lock):
    text = (PROJECT / lock).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, flags=re.MULTILINE))


def test_hadolint_has_nothing_to_say():
    done = subprocess.run(
        [tool("hadolint"), str(PROJECT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_an_image_runs_as_nobody_and_holds_no_tools_of_its_build(target):
    lines = stages()[target]
    assert lines[-1] == "USER 10001:10001"
    assert lines[0] == "FROM runtime"
    copied = [line for line in lines if line.startswith("COPY")]
    assert copied == [f"COPY --from={target}-packages /opt/shoal /opt/shoal"]


def test_whatever_is_installed_is_pinned_by_hash():
    installs = re.findall(r"pip install[^\n]*", DOCKERFILE)
    assert installs
    assert all("--require-hashes" in i or "--no-index" in i for i in installs)
    for lock in LOCKS:
        text = (PROJECT / f"docker/{lock}.lock").read_text()
        pins = re.findall(r"^[a-z0-9._-]+==.*(?:\n .*)*", text, flags=re.MULTILINE)
        assert pins
        assert all("--hash=sha256:" in pin for pin in pins)


def test_bases_are_pinned():
    bases = {lines[0].removeprefix("FROM ") for lines in stages().values()} - stages().keys()
    assert all(re.fullmatch(r"[\w/.]+:\d+\.\d+\.\d+[\w-]*", base) for base in bases)


def test_what_is_copied_is_there_and_nothing_else_reaches_the_engine():
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    admitted = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    sources = {
        word
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY") and "--from" not in line
        for word in line.split()[1:-1]
    }
    for source in sources:
        assert (PROJECT / source).exists(), source
        assert source in admitted or "docker/*.lock" in admitted, source
    assert admitted == {s for s in sources if not s.startswith("docker/")} | {"docker/*.lock"}


def test_images_have_the_packages_that_the_tests_ran_with():
    tested = versions("requirements.lock")
    shipped = versions("docker/cpu.lock")
    differing = {name for name in shipped if shipped[name] != tested.get(name, shipped[name])}
    assert not differing


@pytest.mark.parametrize(("lock", "extras"), [("cpu", {"cluster"}), ("gpu", {"cluster", "vllm"})])
def test_images_have_all_that_the_project_asks_for(lock, extras):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    names = {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in wanted}
    assert names <= versions(f"docker/{lock}.lock").keys()
    assert "pytest" not in versions(f"docker/{lock}.lock")
