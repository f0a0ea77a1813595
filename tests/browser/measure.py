"""How quickly a cockpit in a browser answers: `python -m tests.browser.measure` prints one JSON object.

pictures_per_second: that the page draws, over ten seconds. key_to_command_ms and key_to_motion_ms: from a key going down in
the page to the first command it changes, and to the first observation in which a joint has moved, median and 95th percentile
of 60 keys. JupyterLab, kernel, simulator and Chromium share this machine, and its clock; measure on an idle one.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from tests.browser import test_cockpit as cockpit
from tests.browser.desk import browsing, open_notebook, serving

KEYS = 60
MOVED = 1e-3  # rad
LOG = """
seen = []
ended = loop.subscribe(lambda frame: seen.append(
    (time.time(), frame.observation["observation.state"][:6].tolist(), frame.executed[:6].tolist())))
"""
TOLD = "print(json.dumps(seen))"
LISTEN = "() => { window.downs = []; addEventListener('keydown', () => downs.push(Date.now() / 1000), true); }"


def measure() -> dict[str, float]:
    cells = {**cockpit.CELLS, "log": LOG, "told": TOLD}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as own:
        cockpit.write_book(Path(folder), cells)
        with serving(Path(folder), Path(own)) as address, browsing() as page:
            open_notebook(page, address, "desk.ipynb")
            desk = cockpit.Desk(page, Path(folder), cells)
            desk.run("rig")
            page.locator(".pilab-cockpit").wait_for()
            desk.until(lambda s: s["watched"])
            page.wait_for_timeout(8000)  # the page goes on loading for a while
            first = desk.shown()
            page.wait_for_timeout(10_000)
            pictures = (desk.shown() - first) / 10
            desk.run("log")
            desk.arm()
            desk.focus()
            page.evaluate(LISTEN)
            for number in range(KEYS):  # there and back
                page.wait_for_timeout(700 + 10 * (number % 7))
                page.keyboard.down("wwss"[number % 4])
                page.wait_for_timeout(300)
                page.keyboard.up("wwss"[number % 4])
            downs = page.evaluate("() => downs")
            seen = json.loads(desk.text("told"))
    command, motion = zip(*(delays(seen, down) for down in downs), strict=True)
    named = {"key_to_command_ms": command, "key_to_motion_ms": motion}
    found = {f"{name}_{p}": float(np.percentile(v, int(p[1:]))) for name, v in named.items() for p in ("p50", "p95")}
    return {"pictures_per_second": pictures, **found}


def delays(seen: list[tuple[float, list[float], list[float]]], down: float) -> tuple[float, float]:
    """ms from `down` to the first other command, and to the first moved joint."""
    before = [frame for frame in seen if frame[0] <= down][-1]
    after = [frame for frame in seen if frame[0] > down]
    return tuple(
        1000 * (next(frame[0] for frame in after if np.abs(np.subtract(frame[i], before[i])).max() > least) - down)
        for i, least in ((2, MOVED / 10), (1, MOVED))
    )


if __name__ == "__main__":
    print(json.dumps(measure()))
