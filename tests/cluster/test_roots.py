"""What callers may have indexed: nothing outside the roots, wherever links lead."""

import os

import pytest

from actors.errors import Forbidden, InvalidRequest
from cluster.roots import Roots


@pytest.fixture
def inside(tmp_path):
    top = tmp_path / "inside"
    (top / "project").mkdir(parents=True)
    (tmp_path / "inside-out").mkdir()
    (tmp_path / "outside").mkdir()
    return top


@pytest.fixture
def roots(inside):
    return Roots.of(f"{inside}, s3://bucket/docs/, git+https://host.example/team", is_private=True)


def test_what_lies_below_a_root_may_be_indexed(roots, inside):
    roots.check(str(inside), str(inside / "project"), str(inside / "not there yet"))
    roots.check("s3://bucket/docs", "s3://bucket/docs/2026/")
    roots.check("git+https://host.example/team/shoal.git@main")


@pytest.mark.parametrize(
    "place",
    [
        "..",
        "../outside",
        "../inside-out",
        "project/../../outside",
        "/etc",
        "/",
        "s3://bucket/docs-too",
        "s3://bucket",
        "gs://bucket/docs",
        "git+https://host.example/teams/x.git",
        "git+https://evil.example/host.example/team/x.git",
        "git+file:///etc",
    ],
)
def test_what_lies_elsewhere_may_not(roots, inside, place):
    path = place if "://" in place else os.path.join(inside, place)
    with pytest.raises(Forbidden, match="SHOAL_INDEX_ROOTS"):
        roots.check(path)


def test_a_link_counts_as_what_it_leads_to(roots, inside):
    (inside / "way-out").symlink_to("../outside")
    (inside / "chain").symlink_to("way-out")
    (inside / "way-in").symlink_to("project")
    for name in ("way-out", "chain", "way-out/deeper"):
        with pytest.raises(Forbidden):
            roots.check(str(inside / name))
    roots.check(str(inside / "way-in"))


def test_a_root_that_is_a_link_stands_for_what_it_leads_to(inside, tmp_path):
    (tmp_path / "link").symlink_to(inside)
    Roots.of(str(tmp_path / "link"), is_private=False).check(str(inside / "project"))


def test_a_repository_in_a_folder_counts_as_the_folder(roots, inside):
    roots.check(f"git+file://{inside}/project")
    with pytest.raises(Forbidden):
        roots.check(f"git+file://{inside}/../outside")


def test_without_roots_this_machines_callers_may_have_anything_and_others_nothing(tmp_path):
    Roots.of("", is_private=True).check("/etc", "s3://bucket")
    with pytest.raises(Forbidden, match="no folder of this machine"):
        Roots.of("", is_private=False).check(str(tmp_path))


def test_a_root_that_cannot_be_is_refused_when_it_is_set():
    with pytest.raises(InvalidRequest):
        Roots.of("ftp://host/x", is_private=True)


def test_a_refusal_shows_no_credentials(roots):
    with pytest.raises(Forbidden) as refused:
        roots.check("git+https://user:secret@evil.example/x.git")
    assert "secret" not in str(refused.value)
