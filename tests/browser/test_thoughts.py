"""The viewer of thoughts in JupyterLab: keys step through moments; from a changed sentence on it is thought anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.desk import MARKS, RUN, browsing, open_notebook, serving
from tests.browser.test_cockpit import write_book

pytestmark = MARKS

SHOW = """
import numpy as np
from types import SimpleNamespace
from pilab.contracts import STATE, TASK, Policy, Thought, image_key
from pilab.widgets.thoughts import Thoughts
from pilab.world.bodies.duo import BODY

class Thinker(Policy):
    def think(self, observation, previous):
        thing = previous[0].chain[0].rstrip(".").split()[-1]
        return [Thought(f"pick up the {thing}", (*previous[0].chain, "so be it."))]

    def look(self, observation, thought):
        return [SimpleNamespace(points={"base": {"object": (0.25 if "apple" in (thought[0].subtask or "") else 0.75, 0.5)}})]

def seen(k):
    pictures = {image_key(c.name): np.full((c.height, c.width, 3), 60 + k, np.uint8) for c in BODY.cameras}
    return {TASK: "tidy up", STATE: np.zeros(14), **(pictures if k % 5 == 0 else {})}

apple = Thought("pick up the apple", ("i see the apple.", "<b>fruits</b> belong in the bowl."))
thoughts = [apple] * 10 + [Thought("open the lid", author="person")] * 10
Thoughts([(seen(k), thought) for k, thought in enumerate(thoughts)], Thinker(), success=True)
"""
CELLS = {"show": SHOW, "below": "1"}
COLOUR = """([i, share]) => {
  const canvas = document.querySelectorAll('.pilab-thoughts .pilab-mind')[i].querySelector('canvas');
  return [...canvas.getContext('2d').getImageData(share * canvas.width, canvas.height / 2, 1, 1).data];
}"""

TOLD = "() => [...document.querySelectorAll('.pilab-thoughts [role=status]')].map(e => e.textContent).join()"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Any]:
    """With the viewer on it, at its first moment."""
    folder, own = tmp_path_factory.mktemp("viewer"), tmp_path_factory.mktemp("own")
    write_book(folder, CELLS)
    with serving(folder, own) as address, browsing() as page:
        page.told = []
        page.on("pageerror", lambda error: page.told.append(str(error)))
        open_notebook(page, address, "desk.ipynb")
        outputs = page.evaluate(RUN, 0)["outputs"]
        assert [o for o in outputs if o["output_type"] == "error"] == []
        at(page, 0)
        yield page
        assert page.told == []


def at(page: Any, moment: int) -> None:
    """Wait until that moment is shown."""
    page.wait_for_function(f"() => document.querySelector('[data-moment=\"{moment}\"]')")


def test_a_moment_is_shown_with_its_words_and_points(page, tmp_path: Path):
    viewer = page.locator(".pilab-thoughts")
    told = viewer.inner_text()
    for words in ("“tidy up”", "i see the apple.", "pick up the apple", "then, at 1.0 s: open the lid", "a success"):
        assert words in told, words
    assert "<b>fruits</b> belong in the bowl." in told, "what was thought is text, whatever it looks like"
    assert page.evaluate(COLOUR, [0, 0.25])[2] > 150 and page.evaluate(COLOUR, [0, 0.75])[:3] == [60, 60, 60]
    viewer.screenshot(path=tmp_path / "thoughts.png")


def test_keys_step_through_moments_and_thoughts(page):
    page.locator(".pilab-thoughts [data-sentence='1']").focus()  # which is not there at every moment
    for key, moment in [
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("PageDown", 10),
        ("End", 19),
        ("PageUp", 10),
    ]:
        page.keyboard.press(key)
        at(page, moment)
    assert "person" in page.locator(".pilab-said").inner_text()
    page.keyboard.press("ArrowRight")
    at(page, 11)
    assert "base · last picture, 1.0 s" in page.locator(".pilab-views").inner_text()
    page.keyboard.press("Home")
    at(page, 0)


def test_a_changed_sentence_is_thought_on_from_beside_what_was_thought(page, tmp_path: Path):
    page.locator(".pilab-thoughts [data-sentence='0']").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("i see the lemon")  # in place of the old one, which is selected
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('[data-thought=\"pick up the lemon\"]')")
    thought, other = page.locator(".pilab-mind").all()
    assert "pick up the apple" in thought.inner_text() and "pick up the lemon" in other.inner_text()
    assert other.locator("li").all_inner_texts()[:2] == ["i see the lemon.\nyou", "so be it."]
    assert page.evaluate(COLOUR, [1, 0.75])[2] > 150 and page.evaluate(COLOUR, [1, 0.25])[:3] == [60, 60, 60]
    page.locator(".pilab-thoughts").screenshot(path=tmp_path / "beside.png")
    page.locator(".pilab-thoughts input[type='text']").fill(" ")
    for _ in range(2):  # the same mistake is told each time, and does not end the conversation
        page.keyboard.press("Enter")
        page.wait_for_function(f"() => ({TOLD})().includes('nothing was said') && !({TOLD})().includes('thinking')")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    at(page, 1)
    assert page.locator(".pilab-mind").count() == 1, "another moment, another thought"
    assert page.locator(".pilab-note").inner_text() == ""


def test_the_notebook_does_not_hear_the_keys_of_the_viewer(page):
    page.locator(".pilab-thoughts").focus()
    for key in "abmx":
        page.keyboard.press(key)
    kinds = "() => [...jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.type)"
    assert page.evaluate(kinds) == ["code"] * len(CELLS)
