"""By what names a gateway may be addressed, and from pages of which origins."""

import socket

import pytest

from actors.errors import Forbidden, InvalidRequest
from mcp_adapter.hosts import Hosts

HOSTS = Hosts.of("0.0.0.0", "shoal.example", "https://tools.example")


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8750",
        "LOCALHOST",
        "127.0.0.1:8750",
        "[::1]:8750",
        "[2001:db8::7]:8750",
        "192.0.2.7",
        "shoal.example:443",
        f"{socket.gethostname()}:8750",
    ],
)
def test_its_own_names_and_addresses_are_allowed(host):
    HOSTS.check(host, "")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8750",
        "localhost.evil.example",
        "shoal.example.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8750@localhost",
        "*",
    ],
)
def test_a_name_that_is_not_its_own_is_refused(host):
    with pytest.raises(Forbidden, match="SHOAL_ALLOWED_HOSTS"):
        HOSTS.check(host, "")


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8750", "https://tools.example", "https://TOOLS.example"]
)
def test_its_own_pages_and_those_that_are_allowed_may_call(origin):
    HOSTS.check("127.0.0.1:8750", origin)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://127.0.0.1:9999",
        "http://localhost:8750",
        "http://tools.example",
        "https://tools.example.evil.example",
        "https://evil.example",
        "file://",
    ],
)
def test_pages_of_others_may_not_call(origin):
    with pytest.raises(Forbidden, match="SHOAL_ALLOWED_ORIGINS"):
        HOSTS.check("127.0.0.1:8750", origin)


def test_a_star_allows_every_name_and_no_origin():
    hosts = Hosts.of("0.0.0.0", "*")
    hosts.check("anything.example", "")
    with pytest.raises(Forbidden):
        hosts.check("anything.example", "https://evil.example")
    assert "allowed hosts: any; origins: its own" in str(hosts)


@pytest.mark.parametrize("origin", ["tools.example", "https://tools.example/", "*", "https://"])
def test_what_is_no_origin_is_refused_when_it_is_set(origin):
    with pytest.raises(InvalidRequest, match="no origin"):
        Hosts.of("0.0.0.0", "", origin)
