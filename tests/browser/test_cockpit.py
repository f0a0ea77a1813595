"""The cockpit in JupyterLab and Notebook 7: pictures stream, keys move the arm, every lost page ends in a held robot.

What the robot does is read from a file that a thread of the kernel writes, so that a busy cell cannot hide it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilab.data.lerobot import LeRobotDataset
from tests.browser.desk import MARKS, RUN, browsing, open_notebook, serving

pytestmark = MARKS

RIG = """
import json, os, threading, time
from pilab.data.recorder import Recorder
from pilab.robots.loop import ControlLoop
from pilab.robots.simulator import Simulator
from pilab.widgets.cockpit import Cockpit

robot = Simulator(seed=1, hz=30)
loop = ControlLoop(robot, hz=30).start()
recorder = Recorder("recorded", robot.embodiment, every=3, operator="browser")
cockpit = Cockpit(loop, recorder)

def watch():
    while True:
        frame, status = loop.latest()
        if frame is not None:
            now = {"mode": str(status.mode), "source": frame.source, "state": frame.observation["observation.state"].tolist(),
                   "watched": cockpit.watched, "recording": cockpit.recorder.status.active, "at": time.time(),
                   "kept": len(cockpit.recorder._kept), "beat": cockpit.held.get("beat", 0)}
            with open("status.tmp", "w") as file:
                json.dump(now, file)
            os.replace("status.tmp", "status.json")
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()
cockpit
"""
BUSY = "import time\nend = time.monotonic() + 5\nwhile time.monotonic() < end: pass"
TEST = "print(json.dumps({k: float(v) for k, v in cockpit.selftest(2.0).items()}))"
FILE = "print(recorder.flush().episodes)"
LOOK = "from pilab.widgets.episodes import Episodes\nEpisodes('recorded')"
CELLS = {"rig": RIG, "busy": BUSY, "selftest": TEST, "file": FILE, "look": LOOK, "again": "cockpit"}
WITHOUT = {"@jupyterlab/apputils-extension/kernels-settings": {"commsOverSubshells": "disabled"}}


def write_book(folder: Path, cells: dict[str, str]) -> None:
    """desk.ipynb, a cell for each source."""
    written = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, "id": name}
        for name, source in cells.items()
    ]
    book = {"cells": written, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}}
    (folder / "desk.ipynb").write_text(json.dumps(book | {"nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")


class Desk:
    """A page with the cockpit, and the truth about the robot."""

    def __init__(self, page: Any, folder: Path, cells: dict[str, str]) -> None:
        self.page, self.folder, self.cells = page, folder, list(cells)

    def run(self, cell: str) -> list[dict[str, Any]]:
        outputs = self.page.evaluate(RUN, self.cells.index(cell))["outputs"]
        assert [o for o in outputs if o["output_type"] == "error"] == []
        return outputs

    def text(self, cell: str) -> str:
        return "".join(o.get("text", "") for o in self.run(cell))

    def status(self) -> dict[str, Any]:
        """Fresh: the file of a frozen kernel would show what was."""
        status = json.loads((self.folder / "status.json").read_text(encoding="utf-8"))
        assert time.time() - status["at"] < 2
        return status

    def until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 15) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while not condition(status := self.status()):
            assert time.monotonic() < end, status
            time.sleep(0.02)
        return status

    def moved(self, seconds: float) -> float:
        """How far the left arm's joints go meanwhile, rad."""
        before = self.status()["state"][:6]
        self.page.wait_for_timeout(1000 * seconds)
        return max(abs(a - b) for a, b in zip(self.status()["state"][:6], before, strict=True))

    def click(self, name: str) -> None:
        self.page.locator(f".pilab-cockpit button[data-do='{name}']").click()

    def focus(self) -> None:
        self.page.locator(".pilab-cockpit").focus()

    def arm(self) -> None:
        self.click("arm")
        self.until(lambda s: s["mode"] == "armed")

    def shown(self) -> int:
        """Pictures the page has drawn."""
        return self.page.evaluate(
            "() => Math.max(0, ...[...document.querySelectorAll('[data-shown]')].map(e => Number(e.dataset.shown)))"
        )


@pytest.fixture(
    scope="module",
    params=[("lab", None), ("lab", WITHOUT), ("notebooks", None)],
    ids=["subshells", "no subshells", "Notebook 7"],
)
def desk(request, tmp_path_factory) -> Iterator[Desk]:
    folder, own = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("own")
    write_book(folder, CELLS)
    app, settings = request.param
    with serving(folder, own, settings, app) as address, browsing() as page:
        open_notebook(page, address, "desk.ipynb")
        desk = Desk(page, folder, CELLS)
        desk.subshells, desk.address = settings is None, address
        desk.run("rig")
        page.locator(".pilab-cockpit").wait_for()
        desk.until(lambda s: s["watched"])
        yield desk


def test_the_widget_appears_and_streams(desk, tmp_path):
    desk.page.wait_for_function("() => document.querySelector('[data-shown]')")
    rates = []
    for _ in range(5):  # the page may still be loading
        first = desk.shown()
        desk.page.wait_for_timeout(2000)
        rates.append((desk.shown() - first) / 2)
    assert max(rates) >= 2, rates  # how many an idle machine shows is for a benchmark to say
    (tmp_path / "pictures_per_second.json").write_text(json.dumps(rates), encoding="utf-8")
    lit = "() => [...document.querySelectorAll('.pilab-pictures canvas')].map(c => {"
    lit += "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return Math.max(...d.slice(0, 4000)); })"
    assert all(level > 60 for level in desk.page.evaluate(lit))
    desk.page.screenshot(path=tmp_path / "cockpit.png")


def test_keys_move_the_arm_and_blur_releases_them(desk):
    desk.arm()
    desk.focus()
    assert desk.moved(0.5) < 0.01
    desk.page.keyboard.down("w")
    assert desk.moved(1.0) > 0.03
    desk.page.evaluate("() => document.activeElement.blur()")  # the key is still down
    desk.page.wait_for_timeout(400)
    assert desk.moved(0.6) < 0.01
    desk.page.keyboard.up("w")


PAD = """(axes, pressed) => { navigator.getGamepads = () => [
    {connected: true, axes, buttons: [...Array(17).keys()].map(i => ({pressed: i === pressed, value: Number(i === pressed)}))}
]; }"""


def test_pointer_sliders_and_gamepad_move_the_arm_and_rest_when_let_go(desk):
    """A pad is what the browser says that it is: the page's list of them is replaced, everything behind it is real."""
    desk.arm()
    picture = desk.page.locator(".pilab-pictures canvas").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    desk.page.mouse.move(x, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x - box["width"] / 4, y, steps=3)
    assert desk.moved(1.0) > 0.03
    desk.page.mouse.up()
    desk.page.wait_for_timeout(400)
    assert desk.moved(0.6) < 0.01
    slider = desk.page.locator(".pilab-cockpit input[data-axis='x']")
    slider.evaluate("e => { e.value = 1; e.dispatchEvent(new Event('input')); }")
    assert desk.moved(1.0) > 0.03
    slider.evaluate("e => e.dispatchEvent(new Event('change'))")  # let go of: it springs back
    desk.page.wait_for_timeout(400)
    assert desk.moved(0.6) < 0.01 and slider.evaluate("e => e.value") == "0"
    desk.page.evaluate(f"() => ({PAD})([-1, 0, 0, 0], -1)")
    assert desk.moved(1.0) > 0.03
    desk.page.evaluate(f"() => ({PAD})([0, 0, 0, 0], 1)")  # its second button
    desk.until(lambda s: s["mode"] == "stopped")
    desk.page.evaluate("() => { navigator.getGamepads = () => []; }")


def test_the_notebook_does_not_hear_the_keys_of_the_cockpit(desk):
    """Its own: "a" and "b" insert a cell, "m" turns the cockpit's into text, "x" cuts it."""
    kinds = "() => [...jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.type)"
    before = desk.page.evaluate(kinds)
    for key in "abmx":
        desk.focus()
        desk.page.keyboard.press(key)
        desk.page.wait_for_timeout(100)
    assert desk.page.evaluate(kinds) == before == ["code"] * len(CELLS)
    assert "pilab-cockpit" in desk.page.evaluate("() => document.activeElement.className")


def test_record_keep_discard_undo(desk):
    desk.arm()
    for ending in ("keep", "discard", "keep", "undo"):
        if ending != "undo":
            desk.click("start")
            desk.until(lambda s: s["recording"])
            desk.focus()
            desk.page.keyboard.down("d" if ending == "keep" else "a")
            desk.page.wait_for_timeout(700)
            desk.page.keyboard.up("d" if ending == "keep" else "a")
        kept = desk.status()["kept"] + {"keep": 1, "discard": 0, "undo": -1}[ending]
        desk.click(ending)
        desk.until(lambda s, kept=kept: not s["recording"] and s["kept"] == kept)
    assert desk.text("file").strip() == "1"
    data = LeRobotDataset(desk.folder / "recorded")
    assert len(data.episodes) == 1 and data.lengths[0] >= 4
    moved = data.columns["action"][-1, :6] - data.columns["action"][0, :6]
    assert abs(moved).max() > 0.02


def test_stop_is_heard_in_a_busy_cell_or_the_robot_is_held(desk):
    desk.arm()
    desk.focus()
    desk.page.keyboard.down("w")
    desk.page.wait_for_timeout(300)
    desk.page.evaluate(f"() => {{ ({RUN})({list(CELLS).index('busy')}); }}")  # do not wait for it
    desk.page.wait_for_timeout(500)
    before = desk.status()["beat"]
    desk.page.wait_for_timeout(1000)
    assert (desk.status()["beat"] > before + 3) == desk.subshells  # heartbeats go on
    desk.page.locator(".pilab-stop").click()
    desk.until(lambda s: s["mode"] in (("stopped",) if desk.subshells else ("holding", "disarmed")), 2)
    assert desk.moved(0.6) < 0.01
    desk.page.keyboard.up("w")
    desk.page.wait_for_timeout(5000)
    desk.until(lambda s: s["mode"] in ("stopped", "disarmed"))


def test_the_self_test_tells_which(desk):
    found = json.loads(desk.text("selftest"))
    heard = bool(found["input_survives_a_busy_cell"])
    assert heard == desk.subshells, found
    assert heard == (found["heartbeats_per_second"] >= 5) and not (found["good"] and not heard)
    desk.page.wait_for_timeout(500)
    assert ("not heard" in desk.page.locator(".pilab-note").inner_text()) != heard


def test_an_episode_is_looked_at(desk, tmp_path):
    desk.run("look")
    desk.page.wait_for_function(
        "() => [...document.querySelectorAll('[data-frame]')].some(e => e.dataset.frame === '0:0')"
    )
    desk.page.locator(".pilab-episodes").focus()
    desk.page.keyboard.press("ArrowRight")
    desk.page.wait_for_function(
        "() => [...document.querySelectorAll('[data-frame]')].some(e => e.dataset.frame === '0:1')"
    )
    desk.page.locator(".pilab-episodes").scroll_into_view_if_needed()
    desk.page.screenshot(path=tmp_path / "episodes.png")


def test_a_closed_page_holds_the_robot_and_an_opened_one_shows_it_again(desk):
    desk.arm()
    desk.focus()
    desk.page.keyboard.down("w")
    desk.page.wait_for_timeout(500)
    desk.page.goto("about:blank")
    desk.until(lambda s: s["mode"] in ("holding", "disarmed"), 3)
    assert desk.moved(0.5) < 0.01
    desk.until(lambda s: s["mode"] == "disarmed", 5)
    open_notebook(desk.page, desk.address, "desk.ipynb")
    desk.run("again")
    desk.page.locator(".pilab-cockpit").first.wait_for()
    before = desk.shown()
    desk.page.wait_for_timeout(3000)
    assert desk.shown() - before >= 20
