"""The page's files are everybody's, what it shows is not, and nothing foreign can run in it."""

import re

import httpx2
import pytest
from recorded_service import TOKEN, RecordedService, app

from mcp_adapter import page

LOADED = re.compile(r"""(?:src|href)="([^"]+)\"""")


@pytest.fixture
async def http():
    transport = httpx2.ASGITransport(app(RecordedService()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://shoal") as client:
        yield client


@pytest.mark.parametrize("path", page.PATHS)
async def test_a_file_needs_no_token_and_carries_the_policy(http, path):
    answer = await http.get(path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = dict(
        part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert not re.search(r"unsafe|\*|http|data:", answer.headers["content-security-policy"])


async def test_all_that_the_page_loads_is_served_as_what_it_is(http):
    document = await http.get("/")
    assert document.headers["content-type"].startswith("text/html")
    loaded = LOADED.findall(document.text)
    assert set(loaded) == {path.removeprefix("/") for path in page.PATHS} - {""}
    kinds = {(await http.get(f"/{path}")).headers["content-type"].split(";")[0] for path in loaded}
    assert kinds == {"text/css", "text/javascript", "image/svg+xml"}


async def test_no_script_or_style_stands_in_the_document(http):
    text = (await http.get("/")).text
    assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)


@pytest.mark.parametrize("path", page.PATHS)
async def test_nothing_comes_from_elsewhere(http, path):
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", (await http.get(path)).text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, which nobody asks for


async def test_a_file_is_read_and_nothing_else(http):
    assert (await http.post("/", content=b"x" * 100)).status_code == 405
    assert (await http.head("/page.js")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/status", "/page.js/", "/page/../v1/status", "/page.map", "/page.py", "/page"]
)
async def test_without_the_token_there_is_nothing_but_the_files(http, path):
    answer = await http.get(path)
    assert answer.status_code == 401
    assert answer.json()["error"] == "Unauthorized"


async def test_the_token_opens_what_the_page_shows(http):
    answer = await http.get("/v1/status", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.json()["replicas"][0]["name"] == "embedder-0"
