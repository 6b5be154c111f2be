"""What an operator does at the page, in words; selectors live here only."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

ARTEFACTS = Path(__file__).resolve().parents[1] / "artefacts"

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_CLIPPED = """() => {
  const fitted = "button, .rail a, th[scope=col], .count, .tiles dd, .tiles dt, h1, h2, .topbar .key, .lamp";
  return [...document.querySelectorAll(fitted)]
    .filter((e) => e.offsetParent !== null && !e.closest(".unseen, .rows tbody"))
    .filter((e) => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => e.textContent.trim());
}"""


class OperatorPage:
    """One browser page at an operator station.

    Args:
        page: Playwright's page.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.base = ""
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def at(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    # ---- opening

    def launch(self, address: str, timeout_s: float = 20) -> None:
        """Open a one-time launch address and wait for live values."""
        self.base = address.rsplit("/launch", 1)[0]
        self.page.goto(address)
        self.wait_live(timeout_s)

    def wait_live(self, timeout_s: float = 20) -> None:
        expect(self.page.locator('[data-testid="frame"][data-link="up"][data-stale="false"]')).to_be_visible(
            timeout=timeout_s * 1000
        )
        expect(self.page.locator(".waiting")).to_have_count(0, timeout=timeout_s * 1000)

    def wait_locked(self, timeout_s: float = 6) -> None:
        expect(self.page.locator('[data-testid="frame"][data-stale="true"]')).to_be_visible(timeout=timeout_s * 1000)

    def go(self, page: str, argument: str = "", **query: str) -> None:
        """Show a page by its address."""
        text = "&".join(f"{name}={quote(value)}" for name, value in query.items())
        self.page.goto(f"{self.base}/#/{page}{'/' + quote(argument) if argument else ''}{'?' + text if text else ''}")

    def shot(self, name: str) -> None:
        """Keep a picture among the artefacts."""
        ARTEFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=str(ARTEFACTS / f"{name}.png"))

    # ---- looking

    @staticmethod
    def number(locator: Locator) -> float:
        """A shown number; fails if it is shown as unknown."""
        return float(locator.inner_text().split()[0].replace("\N{MINUS SIGN}", "-").rstrip("?*SMB~-"))

    def drawn_value(self, pid: int) -> Locator:
        """The text of a point in the diagram."""
        return self.at(f"sld-value-{pid}")

    def drawn(self, mrid: str) -> Locator:
        """A symbol of the diagram."""
        return self.at(f"sld-{mrid}").first

    def value(self, pid: int) -> Locator:
        """A point's value in a table or the drawer."""
        return self.at(f"value-{pid}").first

    # ---- acting

    def select(self, mrid: str) -> None:
        """Pick equipment in the diagram; the drawer opens."""
        self.drawn(mrid).click()
        expect(self.at("drawer")).to_be_visible()

    def begin_control(self, mrid: str) -> Locator:
        """Open the dialogue of a control that the drawer offers."""
        self.at(f"control-{mrid}").click()
        dialog = self.at("control-dialog")
        expect(dialog).to_be_visible()
        return dialog

    def preset(self, target: float, number: str, *, setpoint: bool = False) -> None:
        """Steps 1 to 3 of the dialogue, up to the check-back."""
        if setpoint:
            self.at("control-setpoint").fill(str(target))
        else:
            self.at(f"control-target-{target}").check()
        if number:
            self.at("control-number").fill(number)
        self.at("control-select").click()

    def execute(self, timeout_s: float = 30) -> str:
        """Steps 4 and 5; returns the state of the result, e.g. ``SUCCESS``."""
        expect(self.at("control-checkback")).to_be_visible(timeout=timeout_s * 1000)
        self.at("control-execute").click()
        return self.result(timeout_s)

    def result(self, timeout_s: float = 30) -> str:
        """State of the result once there is one."""
        expect(self.at("control-result")).not_to_have_attribute("data-state", "", timeout=timeout_s * 1000)
        return self.at("control-result").get_attribute("data-state") or ""

    def end_control(self) -> None:
        """Close or cancel the dialogue."""
        self.at("control-cancel").click()

    def alarm_row(self, alarm_id: int) -> Locator:
        return self.page.locator(f'[data-testid="alarm-row"][data-alarm="{alarm_id}"]')

    def acknowledge(self, *alarm_ids: int) -> None:
        """Tick rows of the alarm page and acknowledge them."""
        for alarm_id in alarm_ids:
            self.alarm_row(alarm_id).locator("input").check()
        self.at("ack-selected").click()

    def set_unit_mode(self, mrid: str, *, base: str, regulation: str, base_point: float | None = None) -> None:
        """Change a unit's mode on the AGC page and wait for the answer."""
        self.at(f"unit-{mrid}-mode").click()
        self.at("unit-base-mode").select_option(base)
        if base_point is not None:
            self.at("unit-base-point").fill(str(base_point))
        self.at("unit-reg-mode").select_option(regulation)
        self.at("unit-confirm").click()
        expect(self.at("unit-answer")).to_be_visible()

    def use(self, language: str) -> None:
        """Switch to ``zh`` or ``en``."""
        if self.page.locator("html").get_attribute("lang") != language:
            self.at("language").click()
        expect(self.page.locator("html")).to_have_attribute("lang", language)

    def clipped(self) -> list[str]:
        """Texts of buttons, tabs, heads and navigation that do not fit their place."""
        return self.page.evaluate(_CLIPPED)
