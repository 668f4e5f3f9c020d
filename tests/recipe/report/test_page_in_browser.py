"""The report's page in a real browser: it draws what it should, without errors, and fits a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recipe.protocol.comparison import Start
from recipe.report.protocol import write_protocol_report
from tests.fake_runs import PLAIN, fake_comparison

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE, SCREEN = 390, 1280  # CSS pixels; a window of Chromium's own is never as narrow as a phone
LOOK = """
    const page = document.querySelector("iframe"), seen = {errors: []};
    page.addEventListener("load", () => setTimeout(() => {
        const own = page.contentDocument;
        seen.width = own.documentElement.scrollWidth;
        seen.charts = own.querySelectorAll(".panel").length;
        seen.drawn = own.querySelectorAll(".panel svg, .panel canvas").length;
        seen.pictures = [...own.images].filter((image) => image.getClientRects().length).length;
        document.querySelector("pre").textContent = JSON.stringify(seen);
    }, 3000));
    page.contentWindow.addEventListener("error", (event) => seen.errors.push(event.message));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    starts = (PLAIN, Start("5 tasks", "runs/five", tasks=5), Start("20 tasks", "runs/twenty", tasks=20))
    comparison = fake_comparison(("rte", "copa", "squad"), starts, lambda *_: 0.7, fractions=(0.5, 1.0), examples=60)
    return write_protocol_report(tmp_path_factory.mktemp("report"), comparison).read_text(encoding="utf-8")


def look(page: str, width: int, folder: Path) -> dict:
    """What a browser makes of a page in a frame of so many pixels."""
    frame = f'<iframe style="border: 0; width: {width}px; height: 2000px" srcdoc="{html.escape(page)}"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(f"<!doctype html>{frame}<pre></pre><script>{LOOK}</script>", encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000"]
    run = subprocess.run([*command, "--dump-dom", outer.as_uri()], capture_output=True, text=True, timeout=120)
    (seen,) = re.findall(r"<pre>(.*)</pre>", run.stdout.rsplit("</iframe>", 1)[-1])
    return json.loads(html.unescape(seen))


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: Debian's package chromium")
@pytest.mark.parametrize("width", [PHONE, SCREEN])
def test_a_browser_draws_every_chart_within_the_page(page: str, width: int, tmp_path: Path):
    seen = look(page, width, tmp_path)
    assert seen["errors"] == []
    assert seen["width"] <= width, "nothing but a table or a chart of its own scrolls sideways"
    assert seen["charts"] == seen["drawn"] > 3
    assert seen["pictures"] == 0, "pictures are for pages without scripts"
