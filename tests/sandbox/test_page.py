"""The sandbox's page in a real Chromium, while all platforms are at work."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

import asyncconn.sandbox.control
from asyncconn.sandbox import Fault, Sandbox, StreamFault
from asyncconn.sandbox.control.files import FILES

from .browser import chromium, complaints, emulate
from .load_scene import load

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

PAGE = Path(asyncconn.sandbox.control.__file__).parent / "page"
WAIT = 20.0  # seconds; a page is told the state once a second


class Page:
    """The page as somebody at the screen has it. Blocks, so it belongs into a thread."""

    def __init__(self, browser: WebDriver, sandbox: Sandbox) -> None:
        self.browser = browser
        self.sandbox = sandbox
        browser.get(sandbox.url)
        self.until(lambda: self.text("#live") == "live")

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """What stands there, read at one moment: rows may be gone the next."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        found: str = self.browser.execute_script(script, selector)
        return found.strip()

    def until(self, true: Any) -> None:
        WebDriverWait(self.browser, WAIT, poll_frequency=0.1).until(lambda _: true())

    def press(self, selector: str) -> None:
        self.find(selector).click()

    def type(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)


def look_at_everything(page: Page) -> None:
    page.until(lambda: "events" in page.text("#tables"))
    for selector, words in {
        "#worlds": ("Panoply", "Datorama", "TCUP", "Atoti Limits", "calls"),
        "#requests": ("POST /api/sos/v2.0/observations", "Panoply", "TCUP", "Atoti Limits"),
        "#rates": ("Datorama, token 1: calls a minute", "of 20,000", "TCUP, user1: calls a second", "KiB"),
        "#streams": ("mqtt reader", "plant/1", "websocket subscribe", "sse subscribe", "connected"),
        "#work": ("workflow", "task", "job stream", "atoti to Limits", "CONNECTED"),
    }.items():
        for word in words:
            page.until(lambda word=word, selector=selector: word in page.text(selector))
    bar = page.find("#rates progress")
    assert float(bar.get_attribute("value")) > 0


def ask_in_sql(page: Page) -> None:
    page.press("#tables button[type=button]")  # the first one has a name that would be a program
    page.until(lambda: page.text("#sql-said") == "5 rows.")
    assert "<img src=x onerror=" in page.text("#found")
    page.type("#statement", "select id from events where id = 7")
    page.find("#statement").send_keys(Keys.CONTROL, Keys.ENTER)
    page.until(lambda: page.text("#found") == "id\n7")
    page.type("#statement", "drop table events")
    page.press("#sql button")
    page.until(lambda: "only reading is possible here" in page.text("#sql-failed"))
    assert page.browser.execute_script("return [window.struck ?? 0, document.querySelectorAll('main img').length]") == [
        0,
        0,
    ]


def play_faults(page: Page) -> None:
    faults = page.sandbox.faults
    Select(page.find("#faults [name=kind]")).select_by_visible_text("status")
    page.type("#faults [name=match]", "panoply")
    page.type("#faults [name=times]", "")
    page.press("#faults .add")
    page.until(lambda: faults.hits["status"] >= 1)
    page.until(lambda: "status 503 at panoply: struck" in page.text("#faults ul"))
    page.until(lambda: "503 (status)" in page.text("#requests"))
    page.press("#faults input[role=switch]")
    page.until(lambda: not faults.planned[0].on)
    page.press("#faults input[role=switch]")
    page.until(lambda: faults.planned[0].on)
    page.press("#faults li button")
    page.until(lambda: not faults.planned)
    page.until(lambda: page.text("#faults .none") == "None is planned.")
    Select(page.find("#faults [name=kind]")).select_by_visible_text("delay")
    page.type("#faults [name=match]", "/no-such-path")
    page.press("#faults .add")
    page.until(lambda: "delay 1 s at /no-such-path: struck 0 times" in page.text("#faults ul"))


def make_gaps(page: Page) -> None:
    script = page.sandbox.tcup.streams.faults
    Select(page.find("#stream-faults [name=kind]")).select_by_visible_text("kill")
    page.type("#stream-faults [name=match]", "reader")
    page.press("#stream-faults .add")
    page.until(lambda: script.hits["kill"] == 1)
    page.until(lambda: re.search(r"mqtt reader\s+plant/1\s+back again", page.text("#gaps")))
    page.press("#stream-faults .clear")
    page.until(lambda: not script.planned)


def move_the_clock(page: Page) -> None:
    clock = page.sandbox.clock
    page.press("[data-seconds='86400']")
    page.until(lambda: clock.moved == 86_400)
    page.type("#seconds", "90")
    page.press("#move button")
    page.until(lambda: clock.moved == 86_490)
    page.until(lambda: page.text("#moved") == "moved on by 24 h")
    page.until(lambda: page.text("#said") == "The clock was moved on by 90 s.")


def pause_and_go_on(page: Page) -> None:
    page.press("#pause")
    assert (page.text("#live"), page.find("#pause").get_attribute("aria-pressed")) == ("paused", "true")
    page.press("#pause")
    page.until(lambda: page.text("#live") == "live")


def keep_the_focus_while_rows_come(page: Page) -> None:
    page.browser.execute_script("document.querySelector('#tables button').focus()")
    seen = page.text("#requests td")
    page.until(lambda: page.text("#requests td") != seen)
    assert page.browser.execute_script("return document.activeElement.closest('#tables') !== null")


def reset(page: Page) -> None:
    before = page.sandbox.panoply.tables()["events"]
    page.press("#reset")
    page.press("#sure button[value=no]")
    assert page.sandbox.panoply.tables()["events"] >= before
    page.press("#reset")
    page.press("#sure button[value=yes]")
    page.until(lambda: page.text("#said") == "Everything begins anew.")
    assert page.sandbox.panoply.tables().get("events", 0) < before
    assert not page.sandbox.faults.planned


@pytest.mark.slow(180)
@pytest.mark.service("chromium")
async def test_everything_on_the_page_can_be_seen_and_used_under_load(tmp_path: Path) -> None:
    def use(sandbox: Sandbox) -> None:
        with chromium(tmp_path) as browser:
            page = Page(browser, sandbox)
            for step in (
                look_at_everything,
                ask_in_sql,
                play_faults,
                make_gaps,
                move_the_clock,
                pause_and_go_on,
                keep_the_focus_while_rows_come,
                reset,
            ):
                step(page)
            # The browser itself notes each answer that is an error; that one was asked for.
            assert [said for said in complaints(browser) if "/_sandbox/sql" not in said] == []

    async with Sandbox(seed=1) as sandbox, load(sandbox, tmp_path):
        await asyncio.to_thread(use, sandbox)


_NAMELESS = """
const named = (node) => node.getAttribute("aria-label") || node.innerText?.trim()
  || document.getElementById(node.getAttribute("aria-labelledby"))?.innerText
  || [...(node.labels ?? [])].map((label) => label.innerText).join("");
const shown = (node) => node.checkVisibility({ visibilityProperty: true });
const all = [...document.querySelectorAll(
  "a, button, input, select, textarea, progress, [role=region], section, article, dialog, nav",
)];
const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
return {
  nameless: all.filter((node) => shown(node) && !named(node)).map((node) => node.outerHTML.slice(0, 120)),
  twice: ids.filter((id, index) => ids.indexOf(id) !== index),
  headings: [...document.querySelectorAll("h1, h2, h3")].filter(shown).map((node) => Number(node.tagName[1])),
  lang: document.documentElement.lang, mains: document.querySelectorAll("main").length, title: document.title,
  images: [...document.querySelectorAll("img:not([alt])")].length,
  loose: [...document.querySelectorAll("th:not([scope])")].length,
  unreachable: [...document.querySelectorAll(".scroll")].filter((node) => node.tabIndex !== 0).length,
  wide: document.documentElement.scrollWidth > innerWidth,
};
"""

_CONTRASTS = """
const read = (text) => text.match(/[0-9.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
  .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
  .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
const below = (node) => {
  for (let one = node; one; one = one.parentElement) {
    const color = read(getComputedStyle(one).backgroundColor);
    if (color.length < 4 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const poor = new Set();
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  if (!own || !node.checkVisibility({ visibilityProperty: true })) continue;
  const [one, other] = [light(read(getComputedStyle(node).color)), light(below(node))].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (other + 0.05);
  if (ratio < 4.5) poor.add(`${node.tagName} ${node.className} ${node.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return [...poor];
"""


@pytest.mark.slow(180)
@pytest.mark.service("chromium")
async def test_the_pages_keep_the_basic_rules_of_accessibility_on_every_screen(tmp_path: Path) -> None:
    def look(sandbox: Sandbox) -> None:
        with chromium(tmp_path) as browser:
            page = Page(browser, sandbox)
            page.until(lambda: "kill" in page.text("#stream-faults ul"))
            for address in (sandbox.url, f"{sandbox.url}/_sandbox/"):
                browser.get(address)
                for width, dark in ((1400, False), (390, True), (390, False), (1400, True)):
                    emulate(browser, width=width, height=900, dark=dark, mobile=width < 400)
                    found = browser.execute_script(_NAMELESS)
                    headings = found.pop("headings")
                    assert found == {
                        "nameless": [],
                        "twice": [],
                        "lang": "en",
                        "mains": 1,
                        "title": found["title"],
                        "images": 0,
                        "loose": 0,
                        "unreachable": 0,
                        "wide": False,
                    }
                    assert headings[0] == 1
                    assert all(after - before <= 1 for before, after in pairwise(headings))
                    assert browser.execute_script(_CONTRASTS) == []
            assert complaints(browser) == []

    async with Sandbox(seed=1) as sandbox:
        sandbox.faults.add(Fault("status", status=503, match="/nowhere"))
        sandbox.tcup.streams.faults.add(StreamFault("kill", match="nobody", times=None))
        await asyncio.to_thread(look, sandbox)


@pytest.mark.slow(180)
@pytest.mark.service("chromium")
async def test_all_of_the_page_can_be_reached_and_used_by_keyboard(tmp_path: Path) -> None:
    def use(sandbox: Sandbox) -> None:
        with chromium(tmp_path) as browser:
            page = Page(browser, sandbox)
            reached = []
            for _ in range(60):
                browser.switch_to.active_element.send_keys(Keys.TAB)
                script = (
                    "const a = document.activeElement; return [a.id || a.tagName, getComputedStyle(a).outlineStyle]"
                )
                name, outline = browser.execute_script(script)
                assert outline != "none" or name == "BODY", name
                reached.append(name)
            assert {"pause", "reset", "statement", "seconds", "faults-kind", "stream-faults-kind"} <= set(reached)
            page.find("#reset").send_keys(Keys.ENTER)
            page.until(lambda: page.find("#sure").get_attribute("open") is not None)
            browser.switch_to.active_element.send_keys(Keys.ESCAPE)
            page.until(lambda: page.find("#sure").get_attribute("open") is None)
            assert page.text("#said") == ""

    async with Sandbox(seed=1) as sandbox:
        await asyncio.to_thread(use, sandbox)


def test_what_is_shown_is_put_in_as_text_and_nothing_comes_from_elsewhere() -> None:
    script = (PAGE / "page.js").read_text()
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "setAttributeNS",
    ):
        assert way not in script
    for file in PAGE.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) == [], file.name
    html = (PAGE / "index.html").read_text()
    assert re.findall(r"\son\w+=|\sstyle=|<style|<script>", html) == []


def test_every_file_of_the_page_is_served_and_no_other() -> None:
    assert {page.file.name for page in FILES.values() if page.file is not None} == {one.name for one in PAGE.iterdir()}
