"""Tokens: what each reaches, that none can be read anywhere, and what is no token."""

import pytest

from actors.errors import InvalidRequest
from mcp_adapter.scopes import Keys, Scope, needed

SECRETS = {"search": "search-secret-0123", "index": "index-secret-01234", "admin": "a" * 40}
FURTHER = " ".join(f"{scope}:{secret}" for scope, secret in SECRETS.items())


@pytest.fixture
def keys():
    return Keys("own", FURTHER)


@pytest.mark.parametrize("name", SECRETS)
def test_a_token_reaches_as_far_as_its_scope(keys, name):
    key = keys.find(f"Bearer {SECRETS[name]}".encode())
    assert key.scope is Scope[name.upper()]


def test_the_own_token_reaches_everything(keys):
    assert keys.find(b"bearer own").scope is Scope.ADMIN


def test_no_token_can_be_read_from_what_is_shown(keys):
    shown = f"{keys} {keys!r} {keys.find(b'Bearer own')!r}"
    assert not any(secret in shown for secret in ("own", *SECRETS.values()))
    assert repr(keys) == "1 search, 1 index, 2 admin"


@pytest.mark.parametrize(
    "entry", ["search", "search:short", "root:0123456789abcdef", "0123456789abcdef", ":" + "x" * 16]
)
def test_an_entry_that_is_no_token_is_refused_without_being_repeated(entry):
    with pytest.raises(InvalidRequest, match="scope:secret") as refused:
        Keys("own", entry)
    assert "0123456789abcdef" not in str(refused.value)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/status", Scope.SEARCH),
        ("GET", "/metrics", Scope.SEARCH),
        ("POST", "/v1/search", Scope.SEARCH),
        ("POST", "/v1/embeddings", Scope.SEARCH),
        ("POST", "/mcp", Scope.SEARCH),
        ("DELETE", "/mcp", Scope.SEARCH),
        ("POST", "/v1/index", Scope.INDEX),
        ("POST", "/v1/files/missing", Scope.INDEX),
        ("DELETE", "/v1/jobs/0a1b", Scope.INDEX),
        ("PUT", "/v1/watches/docs", Scope.INDEX),
        ("DELETE", "/v1/collections/docs", Scope.ADMIN),
        ("DELETE", "/v1/collections/search", Scope.ADMIN),
        ("POST", "/v1/collections/docs/rollback", Scope.ADMIN),
        ("POST", "/v1/scale", Scope.ADMIN),
        ("POST", "/v1/shutdown", Scope.ADMIN),
        ("POST", "/v1/search/", Scope.ADMIN),
        ("POST", "/v1/jobs", Scope.ADMIN),
    ],
)
def test_what_each_request_takes(method, path, scope):
    assert needed(method, path) is scope
