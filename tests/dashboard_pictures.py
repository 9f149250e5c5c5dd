"""Takes the pictures of the README: `python tests/dashboard_pictures.py`, with Chromium and the font Inter."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from browsing import opened_browser, opened_tab
from dashboard_server import dashboard, filled
from dashboard_story import story

IMAGES = Path(__file__).parent.parent / "docs" / "images"
PICTURES = (
    ("dashboard-light.png", "/?since=29d", "light"),
    ("dashboard-dark.png", "/explore?since=29d&by=day,project", "dark"),
)


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        dsn = filled(Path(folder) / "usage.db", list(story(datetime.now(UTC), calls_a_day=400)))
        with dashboard(dsn) as running, opened_browser() as browser:
            for name, path, theme in PICTURES:
                with opened_tab(browser, running, theme=theme) as tab:
                    tab.page.set_viewport_size({"width": 1280, "height": 1000})
                    tab.page.goto(path)
                    tab.page.locator(".chart svg path").first.wait_for(state="attached")
                    tab.page.screenshot(path=IMAGES / name)


if __name__ == "__main__":
    main()
