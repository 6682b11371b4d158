"""A page in a real browser, measured."""

import asyncio
import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

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


OPTIONS = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-sync --no-first-run"


def used(url: str, script: str, folder: Path) -> Any:
    """What `script`, the body of an async function, returns where it is run in the page at `url`, once that is there.

    The browser is driven by its own protocol, so that the page's policy holds for the page, and not for us.
    """
    assert BROWSER is not None
    profile = Path(tempfile.mkdtemp(dir=folder))
    command = [BROWSER, *OPTIONS.split(), "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return asyncio.run(asyncio.wait_for(_evaluated(profile / "DevToolsActivePort", url, script), 60))
    finally:
        browser.kill()
        browser.wait()


async def _evaluated(told: Path, url: str, script: str) -> Any:
    while not (told.exists() and "\n" in told.read_text()):
        await asyncio.sleep(0.05)
    port = told.read_text().splitlines()[0]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            (place,) = [page["webSocketDebuggerUrl"] for page in await answer.json() if page["type"] == "page"]
        async with session.ws_connect(place) as socket:
            await _asked(socket, 1, "Page.navigate", url=url)
            number, there = 2, f"location.href === {json.dumps(url)} && document.readyState === 'complete'"
            # Asked until it is so: the event that tells of it may come before anybody listens.
            reply: dict[str, Any] = {}
            while not reply.get("result", {}).get("value"):
                await asyncio.sleep(0.05)
                reply = await _asked(socket, number, "Runtime.evaluate", expression=there)
                number += 1
            script = f"(async () => {{ {script} }})()"
            wanted = {"expression": script, "awaitPromise": True, "returnByValue": True}
            reply = await _asked(socket, number, "Runtime.evaluate", **wanted)
    assert "exceptionDetails" not in reply, reply
    return reply["result"].get("value")


async def _asked(
    socket: aiohttp.ClientWebSocketResponse, number: int, method: str, **parameters: Any
) -> dict[str, Any]:
    """What the browser answers; empty if it cannot just now, as the page is being left."""
    await socket.send_json({"id": number, "method": method, "params": parameters})
    while (reply := await socket.receive_json()).get("id") != number:
        pass
    found: dict[str, Any] = reply.get("result", {})
    return found
