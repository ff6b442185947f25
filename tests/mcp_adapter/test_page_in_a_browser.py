"""The page as a person meets it, in headless Chromium."""

import asyncio
import os
import re
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from recorded_service import TOKEN, RecordedService, served
from stub_gateway import a_collection, a_hit, a_job, a_reply, a_status

from actors.errors import Overloaded
from cluster.opening import page_address
from cluster.protocol import Replica

playwright_api = pytest.importorskip("playwright.async_api", reason="Playwright is not installed")
NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on PATH")
expect = playwright_api.expect
BOUND_MS = 30_000

HOSTILE = (
    '<img src=x onerror="document.title=1"><script>document.title=2</script>\n'
    "\u202eright to left\u202c \x1b[31m &amp;"
)
HITS = (
    a_hit("def admit():\n    ...\n" + "    # more\n" * 30, path="actors/router.py"),
    a_hit(HOSTILE, path="<b>x</b>\u2066.py", symbol="<i>", collection="evil"),
    a_hit("third = 3", path="c.py", id="02"),
)
BUSY = a_status(
    collections=(
        a_collection(behind_s=0.0),
        a_collection(name="docs", behind_s=12.4),
        a_collection(name="old", problem="the manifest is damaged"),
    ),
    jobs=(a_job(), a_job(id="2", collection="docs", state="failed", error="the disk is full")),
    replicas=(
        Replica(name="embedder-0", pss_bytes=50_000_000, limit_bytes=200_000_000, detail={}),
        Replica(name="host-0", pss_bytes=190_000_000, limit_bytes=200_000_000, pressure="soft"),
        Replica(name="host-1", problem="does not answer"),
    ),
)


@asynccontextmanager
async def chromium(**options):
    """Yield a new tab; afterwards, nothing may have gone wrong in it that nobody looked at."""
    complaints = []
    async with playwright_api.async_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=sandbox)
        tab = await browser.new_page(**options)
        tab.set_default_timeout(BOUND_MS)
        expect.set_options(timeout=BOUND_MS)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        tab.complaints = complaints
        yield tab
        await browser.close()
    assert complaints == []


@asynccontextmanager
async def opened(service, token=TOKEN, **options):
    async with served(service) as url, chromium(**options) as tab:
        await tab.goto(page_address(url, token) if token else url)
        yield tab


async def until(condition):
    async with asyncio.timeout(BOUND_MS / 1000):
        while not condition():
            await asyncio.sleep(0.01)


async def test_hits_come_as_soon_as_one_stops_to_type():
    service = RecordedService(a_reply(*HITS))
    async with opened(service) as tab:
        asked = []
        tab.on("request", lambda request: request.url.endswith("/v1/search") and asked.append(1))
        await expect(tab.locator("#all")).to_be_visible()
        await tab.clock.install(time=0)
        await tab.clock.pause_at(1000)
        for letters in ("where", " is", " it"):
            await tab.locator("#query").press_sequentially(letters)
            await tab.clock.run_for(149)
        await tab.clock.run_for(1)
        await expect(tab.locator(".hit")).to_have_count(3)
        await expect(tab.locator("#found")).to_contain_text("3 hits")
        await expect(tab.locator(".hit .place").first).to_have_text("actors/router.py:12-44")
        assert [body.query for body in service.searched] == ["where is it"]
        assert len(asked) == 1


async def test_another_letter_withdraws_the_search_that_is_under_way():
    service = RecordedService()
    service.may_answer.clear()
    async with opened(service) as tab:
        await tab.locator("#query").fill("first")
        await until(lambda: len(service.searched) == 1)
        await tab.locator("#query").fill("second")
        await until(lambda: service.withdrawn == ["first"])
        service.may_answer.set()
        await expect(tab.locator(".hit")).to_have_count(1)
        assert [body.query for body in service.searched] == ["first", "second"]


async def test_collection_and_mode_are_asked_for():
    service = RecordedService(status=BUSY)
    async with opened(service) as tab:
        await tab.locator("#query").fill("x")
        await tab.locator("#collection").select_option("docs")
        await tab.locator("#mode").select_option("lexical")
        await until(lambda: service.searched and service.searched[-1].mode == "lexical")
        assert service.searched[-1].collections == ("docs",)


async def test_all_of_it_goes_by_keyboard():
    async with opened(RecordedService(a_reply(*HITS))) as tab:
        query, buttons = tab.locator("#query"), tab.locator(".hit button")
        await expect(tab.locator("#all")).to_be_visible()
        await query.evaluate("box => box.blur()")
        await tab.keyboard.press("/")
        await expect(query).to_be_focused()
        await tab.keyboard.type("a/b")
        await expect(buttons).to_have_count(3)
        await expect(query).to_have_value("a/b")
        await tab.keyboard.press("ArrowDown")
        await expect(buttons.nth(0)).to_be_focused()
        clipped = await tab.locator(".hit pre").first.bounding_box()
        await tab.keyboard.press("Enter")
        await expect(buttons.nth(0)).to_have_attribute("aria-expanded", "true")
        whole = await tab.locator(".hit pre").first.bounding_box()
        assert whole["height"] > 2 * clipped["height"]
        await tab.keyboard.press("ArrowDown")
        await tab.keyboard.press("ArrowDown")
        await tab.keyboard.press("ArrowDown")
        await expect(buttons.nth(2)).to_be_focused()
        await tab.keyboard.press("ArrowUp")
        await expect(buttons.nth(1)).to_be_focused()
        await tab.keyboard.press("Escape")
        await expect(query).to_be_focused()
        await tab.keyboard.press("Escape")
        await expect(query).to_have_value("")
        await expect(buttons).to_have_count(0)
        await tab.keyboard.press("Escape")
        await expect(query).not_to_be_focused()


async def test_what_was_indexed_is_text_whatever_it_says():
    async with opened(RecordedService(a_reply(*HITS))) as tab:
        await tab.locator("#query").fill("x")
        evil = tab.locator(".hit").nth(1)
        await expect(evil.locator("pre")).to_have_text(
            re.sub("[\u202e\u202c\x1b]", "\ufffd", HOSTILE)
        )
        await expect(evil.locator(".place")).to_have_text("<b>x</b>\ufffd.py:12-13")
        assert await evil.locator("img, script, b").count() == 0
        assert await tab.title() == "Shoal"


async def test_text_cannot_become_html_nor_code():
    async with opened(RecordedService()) as tab:
        await expect(tab.locator("#all")).to_be_visible()
        for attempt in ("document.body.innerHTML = '<b>x</b>'", "document.write('<b>x</b>')"):
            with pytest.raises(playwright_api.Error, match="TrustedHTML"):
                await tab.evaluate(f"() => {{ {attempt} }}")
        assert tab.complaints
        tab.complaints.clear()


async def test_the_cluster_is_shown_with_what_is_wrong():
    async with opened(RecordedService(status=BUSY)) as tab:
        collections, jobs, replicas = (
            tab.locator(f"#{name} li") for name in ("collections", "jobs", "replicas")
        )
        await expect(collections.nth(0)).to_contain_text("up to date")
        await expect(collections.nth(1)).to_contain_text("behind by 12 s")
        await expect(collections.nth(2)).to_contain_text("the manifest is damaged")
        await expect(jobs.nth(0)).to_contain_text("120 of 400 files, 900 chunks, 28 s left")
        progress = jobs.nth(0).get_by_role("progressbar")
        assert await progress.get_attribute("aria-valuenow") == "120"
        await expect(jobs.nth(1)).to_contain_text("the disk is full")
        await expect(replicas.nth(0)).to_contain_text("50 of 200 MB")
        meter = replicas.nth(0).get_by_role("meter")
        assert await meter.get_attribute("aria-valuemax") == "200000000"
        widths = await meter.evaluate(
            "bar => [bar.clientWidth, bar.firstChild.getBoundingClientRect().width]"
        )
        assert widths[1] == pytest.approx(widths[0] / 4, abs=1)
        await expect(replicas.nth(1)).to_contain_text("memory pressure is soft")
        await expect(replicas.nth(2)).to_contain_text("does not answer")


async def test_progress_is_looked_at_again():
    service = RecordedService(status=BUSY)
    async with opened(service) as tab:
        await expect(tab.locator("#jobs li").nth(0)).to_contain_text("120 of 400")
        service.state = a_status(jobs=(a_job(files_done=400, state="done"),))
        await expect(tab.locator("#jobs li").nth(0)).to_contain_text("done")


async def test_the_token_leaves_the_address_bar_and_lasts_as_long_as_the_tab():
    async with opened(RecordedService()) as tab:
        await expect(tab.locator("#all")).to_be_visible()
        assert "token" not in tab.url
        assert await tab.evaluate("() => history.length") <= 2
        await tab.reload()
        await expect(tab.locator("#all")).to_be_visible()
        assert await tab.evaluate("() => [localStorage.length, document.cookie]") == [0, ""]


async def test_who_comes_without_the_token_is_asked_for_it():
    service = RecordedService()
    async with opened(service, token="") as tab:
        await expect(tab.locator("#unlock")).to_be_visible()
        await expect(tab.locator("#all")).to_be_hidden()
        await tab.locator("#token").fill("wrong")
        await tab.keyboard.press("Enter")
        await expect(tab.locator("#trouble")).to_contain_text("not the gateway's")
        assert service.looked == 0
        await tab.locator("#token").fill(TOKEN)
        await tab.keyboard.press("Enter")
        await expect(tab.locator("#replicas")).to_contain_text("embedder-0")
        await expect(tab.locator("#trouble")).to_be_hidden()
        tab.complaints.clear()  # the browser's own, of the refusals


async def test_a_search_that_is_sent_away_says_so_and_is_made_again():
    service = RecordedService()
    answer, sent_away = service.search, []

    async def busy_once(body, caller, waited_s):
        if not sent_away:
            sent_away.append(body)
            raise Overloaded("all routers are busy", retry_after_s=0.5)
        return await answer(body, caller, waited_s)

    service.search = busy_once
    async with opened(service) as tab:
        await tab.locator("#query").fill("x")
        await expect(tab.locator("#found")).to_have_text("all routers are busy")
        await expect(tab.locator(".hit")).to_have_count(1)
        tab.complaints.clear()


async def test_a_gateway_that_ends_is_missed():
    async with chromium() as tab:
        async with served(RecordedService(status=BUSY)) as url:
            await tab.goto(page_address(url, TOKEN))
            await expect(tab.locator("#all")).to_be_visible()
        await expect(tab.locator("#trouble")).to_contain_text("does not answer")
        tab.complaints.clear()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
async def test_it_is_light_or_dark_as_the_person_likes_it(scheme, dark, tmp_path):
    async with opened(RecordedService(a_reply(*HITS), BUSY), color_scheme=scheme) as tab:
        await tab.locator("#query").fill("where are searches admitted?")
        await expect(tab.locator(".hit")).to_have_count(3)
        await tab.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
        for part in ("body", ".place", ".about", "#found", "#jobs .bad", "#replicas .warn"):
            assert await contrast(tab, part) >= 4.5, part
        paper = await tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (luminance(paper) < 0.5) == dark


async def test_a_narrow_window_needs_no_scrolling_sideways():
    size = {"width": 360, "height": 700}
    async with opened(RecordedService(a_reply(*HITS), BUSY), viewport=size) as tab:
        await tab.locator("#query").fill("x")
        await expect(tab.locator(".hit")).to_have_count(3)
        assert await tab.evaluate("() => document.documentElement.scrollWidth") <= size["width"]


async def test_shoal_open_shows_a_real_gateway(shoal, gateway, folder):
    shoal.wait(shoal.index([folder], collection="page"))
    heeding = ("env", "--default-signal=INT")  # what was started in the background ignores Ctrl-C
    command = (*heeding, Path(sys.executable).parent / "shoal", "open", "--root", gateway.root)
    relay = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        address = await asyncio.wait_for(relay.stdout.readline(), BOUND_MS / 1000)
        async with chromium() as tab:
            await tab.goto(address.decode().strip())
            await expect(tab.locator("#collections")).to_contain_text("page")
            await tab.locator("#query").fill("ParseCookie")
            await expect(tab.locator(".hit").first).to_contain_text("src/http.go")
            await expect(tab.locator("#replicas")).to_contain_text("router-0")
    finally:
        relay.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(relay.wait(), BOUND_MS / 1000)
    assert code == 0


def luminance(colour):
    """Return the relative luminance of "rgb(r, g, b)", as WCAG 2 defines it."""
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


async def contrast(tab, selector):
    """Return the contrast of a text with what is painted behind it."""
    ink, paper = await tab.locator(selector).first.evaluate(
        """element => {
            let behind = element;
            while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
                behind = behind.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
        }"""
    )
    lighter, darker = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
