"""README's section on several machines, as a person would type it, and `ray up` after a change."""

import pytest
from launcher import GATEWAY, UP, section
from waiting import until

from actors.errors import Unauthorized
from cluster.client import ShoalClient

pytestmark = pytest.mark.timeout(1500)
GONE_S = 90
"""A machine without its head waits for it for 20 s before it ends."""


@pytest.fixture(scope="module")
def said(machines, launcher):
    """What README's commands print, but for the last, which ends it all."""
    *commands, last = section().splitlines()
    assert last.startswith("ray down")
    return launcher.run("\n".join(commands), timeout_s=1200)


def test_what_readme_says_works(said):
    assert "the gateway serves at port 8750, on 2 machines" in said
    assert "cluster.md:" in said  # a hit
    assert "2 node(s)" in said
    assert "done: generation 1" in said


def test_a_change_of_code_comes_to_all_machines_and_the_index_stays(said, machines, launcher):
    changed = launcher.checkout / "cluster" / "__init__.py"
    changed.write_text(f"{changed.read_text()}\nCHANGED = True\n")
    launcher.run(f"make bundle && {UP}")
    with ShoalClient(GATEWAY, token=launcher.token) as shoal:
        assert shoal.status().nodes == 2
        found = {hit.collection for hit in shoal.search("ray up", limit=50).hits}
    assert found == {"docs", "manual"}
    for machine in machines.all:
        ask = "~/.shoal/venv/bin/python -P -c 'import cluster; print(cluster.CHANGED)'"
        assert machine.run(ask).stdout == "True\n"


def test_a_stranger_gets_no_answer_from_ray_or_the_gateway(said, machines, launcher):
    head = machines.all[0]
    python = "~/.shoal/venv/bin/python"
    stranger = f"env -u RAY_AUTH_TOKEN_PATH RAY_AUTH_MODE=token RAY_AUTH_TOKEN={'0' * 64}"
    join = f'import ray; ray.init("{head.address}:6379", logging_level="ERROR"); print("joined")'
    assert "joined" not in head.run(f"{stranger} {python} -P -c '{join}'", check=False).stdout
    ray = f"{stranger} ~/.shoal/venv/bin/ray"
    jobs = head.run(f"{ray} job list --address http://127.0.0.1:8265", check=False)
    assert "token is invalid" in jobs.stdout + jobs.stderr
    with ShoalClient(GATEWAY, token="wrong") as shoal, pytest.raises(Unauthorized):
        shoal.status()


def test_its_end_leaves_nothing_behind(said, machines, launcher):
    launcher.run(section().splitlines()[-1])
    until(machines.are_idle, GONE_S)
    for machine in machines.all:
        assert machine.run("ls /dev/shm").stdout == ""
