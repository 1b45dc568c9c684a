"""A headless chromium of this machine, driven by playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def started(*arguments: str) -> Iterator[Browser]:
    """A fresh browser started with `arguments`; skips where no chromium is."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(_NAMES)} is on the PATH")
    # Chromium's own sandbox does not work for root, as whom containers run.
    own = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=[*own, *arguments])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page(*arguments: str) -> Iterator[Page]:
    """A page of such a browser of its own."""
    with started(*arguments) as browser:
        yield browser.new_page()
