"""A page in a real browser, measured."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

# Headless windows have a least width, so the page is measured in a frame of the width that is wanted.
WRAPPER = """<!doctype html><style>* {{ margin: 0; border: 0 }}</style><body>
<iframe width="{width}" height="900" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const texts = [...page.querySelectorAll("svg.chart text")].map((text) => {{
    const svg = text.ownerSVGElement, box = text.getBoundingClientRect(), frame = svg.getBoundingClientRect();
    return {{
      text: text.textContent,
      size: parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a,
      out: Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom),
    }};
  }});
  const facts = {{
    scroll: root.scrollWidth, client: root.clientWidth, texts,
    page: getComputedStyle(page.querySelector(".page")).maxWidth,
    images: [...page.images].every((image) => image.complete && image.naturalWidth > 0),
  }};
  document.body.innerHTML = "<pre id=facts></pre>";
  document.querySelector("#facts").textContent = JSON.stringify(facts);
}});
</script>"""


def measure(page: str, width: int, folder: Path) -> dict[str, Any]:
    """How wide `page` is in a window of `width`, where each text of its charts lies, and whether its pictures show."""
    assert BROWSER is not None
    wrapper = folder / "wrapper.html"
    wrapper.write_text(WRAPPER.format(width=width, page=html.escape(page)), encoding="utf-8")
    options = (
        "--headless --hide-scrollbars --no-sandbox --disable-gpu --disable-background-networking "
        "--disable-component-update --disable-sync --no-first-run --window-size=1600,1000 --dump-dom"
    )
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [BROWSER, *options.split(), profile, wrapper.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    found = re.search(r'<pre id="facts">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[:500] + done.stderr[-500:]
    facts: dict[str, Any] = json.loads(html.unescape(found[1]))
    return facts
