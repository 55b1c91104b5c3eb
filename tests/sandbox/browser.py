"""A real Chromium without a window, for one test; what it starts ends with it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # it may be root who tests
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
)


@contextmanager
def chromium(folder: Path, *, width: int = 1400, height: int = 1000) -> Iterator[WebDriver]:
    """``folder`` is for its profile. What blocks here belongs into a thread."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program or ""
    for option in (*_OPTIONS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, Service(driver, service_args=["--silent"]))
    try:
        browser.set_page_load_timeout(15)
        browser.set_script_timeout(15)
        yield browser
    finally:
        browser.quit()


def emulate(browser: WebDriver, *, width: int, height: int, dark: bool = False, mobile: bool = False) -> None:
    """Another screen, and the scheme that its user likes."""
    size: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def complaints(browser: WebDriver) -> list[str]:
    """What the console says that is not mere talk."""
    log: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call] # selenium leaves it so
    return [entry["message"] for entry in log if entry["level"] in ("SEVERE", "WARNING")]
