"""A headless browser that is out of the network's reach."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OWN = ("file:", "data:", "blob:")


def browser_path() -> str:
    """Where the browser is; a machine without one has to say that it does without these tests."""
    if os.environ.get("SYNTHAUG_NO_BROWSER"):
        pytest.skip("SYNTHAUG_NO_BROWSER is set")
    named = os.environ.get("SYNTHAUG_CHROMIUM")
    found = named or next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(
            f"no browser: install one of {', '.join(_NAMES)}, or name one in SYNTHAUG_CHROMIUM; "
            "SYNTHAUG_NO_BROWSER=1 leaves these tests out"
        )
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The browser, closed at the end."""
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser, *, width: int = 1200, **options: Any) -> Iterator[Page]:
    """A page without network, in which nothing may go wrong: no error, no word on the console, no foreign request."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
    context.set_default_timeout(20_000)
    page, troubles = context.new_page(), []
    page.on("console", lambda message: troubles.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("request", lambda request: request.url.startswith(_OWN) or troubles.append(f"request: {request.url}"))
    yield page
    context.close()
    assert not troubles, troubles
