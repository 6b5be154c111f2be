"""A rig and a browser for the module, a fresh page for each test."""

from __future__ import annotations

import pytest

from tests.hmi.page import CHROMIUM, CHROMIUM_ARGUMENTS, OperatorPage
from tests.hmi.rig import Rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("hmi"))
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def chromium():
    """A browser. Not for the session: Playwright keeps an event loop running, which async tests of other modules cannot share."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def operator(rig, chromium):
    """An operator's page with live values, in English at 1366 x 768."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768}, locale="en-GB")
    page = OperatorPage(context.new_page())
    page.launch(rig.address)
    rig.address = rig.next_address()
    yield page
    context.close()
    assert page.complaints == []
