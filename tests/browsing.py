"""A real browser for tests: Debian's Chromium, driven by Playwright, with nothing of its own on the net."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from dashboard_server import Served
from playwright.sync_api import Browser, Page, expect, sync_playwright

from usage_tracker.web.access import Role

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


PATIENCE_MS = 60_000
"""On a busy machine what takes a moment takes long; what never comes is as wrong after a minute."""
expect.set_options(timeout=PATIENCE_MS)


def chromium() -> str:
    """The browser's path. Where there is none the test is skipped, but not in CI."""
    found = os.environ.get("TRACKER_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        if "CI" in os.environ:
            pytest.fail("there is no chromium: apt-get install chromium", pytrace=False)
        pytest.skip("there is no chromium: apt-get install chromium, or name one in TRACKER_TEST_CHROMIUM")
    return found


@contextmanager
def opened_browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page and all that went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: self._meet(dialog))
        page.on("request", lambda request: self._see(request.url))
        self.asked: list[str] = []

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(text)

    def _see(self, url: str) -> None:
        self.asked.append(url)

    def _meet(self, dialog: Any) -> None:
        self.wrong.append(f"a dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def opened_tab(
    browser: Browser, running: Served, width: int = 1280, theme: Any = "light", role: Role = "viewer"
) -> Iterator[Tab]:
    """A page of a new profile, logged in, which has to stay without errors."""
    context = browser.new_context(
        base_url=running.url,
        viewport={"width": width, "height": 900},
        color_scheme=theme,
    )
    context.add_cookies([running.session(role)])
    context.set_default_timeout(PATIENCE_MS)
    try:
        tab = Tab(context.new_page())
        yield tab
        assert not tab.wrong, tab.wrong
    finally:
        context.close()
