"""The same goal in many words, and which of its things a text names.

Design choices
--------------
* A demonstration was recorded under one sentence, but its goal can be said in many: **language augmentation** draws a
  template and a name (noun or look) anew each time a frame is learnt from. Held-out templates are never drawn.
* A text need not name everything: "pick up the apple" says nothing about the bowl. The points of what ℓ does not name are
  labelled *not there*, so that nothing is looked for in vain.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import numpy as np

from pilab.contracts import Goal, Scene, find
from pilab.vla.tokenizer import Tokenizer
from pilab.world import objects, places
from pilab.world.combinations import Combination, is_held_out
from pilab.world.scenes import is_reserved_cell
from pilab.world.task import Task, facts_of, name_of, steps_of, task_of


def instruct(task: Task, goal: Goal, facts: objects.Facts, rng: np.random.Generator) -> str:
    """An instruction from the templates or, every other time, from the paraphrases."""
    templates = task.paraphrases if task.paraphrases and rng.random() < 0.5 else task.templates
    return task.say(goal, facts, rng, templates)


def rephrase(subtask: str, scene: Scene, rng: np.random.Generator) -> str:
    """A subtask with its things named by look instead of noun, one time in four."""
    if rng.random() >= 0.25:
        return subtask
    facts = facts_of(scene)
    for part in (part for step in steps_of(scene) for part in (step.object, step.place)):
        if part in facts.rows:
            subtask = re.sub(rf"\b{re.escape(name_of(part, facts))}\b", name_of(part, facts, by_look=True), subtask)
    return subtask


def named(text: str, scene: Scene, goal: Goal | None = None) -> np.ndarray:
    """(R,) float: which of the object and place of the scene's goal, or of another, the words of `text` name."""
    goal = goal or scene.goal
    return np.array([_mentions(text, names(part, scene)) for part in (goal.object, goal.place)], np.float32)


def meant(text: str, scene: Scene, steps: Sequence[Goal]) -> tuple[Goal, np.ndarray]:
    """The one of several steps that a text speaks of (the one it names most of), and what of it is `named`."""
    found = [(step, named(text, scene, step)) for step in steps]
    return max(found, key=lambda one: one[1].sum())


@functools.lru_cache(maxsize=1 << 16)
def _mentions(text: str, words: tuple[str, ...]) -> bool:
    """Whether one of `words` stands in the text as a whole."""
    return any(re.search(rf"\b{re.escape(word)}\b", text) for word in words)


def names(part: str | None, scene: Scene) -> tuple[str, ...]:
    """What a part may be called, without article: noun and look of an object, or the name of a place or fixture."""
    facts = facts_of(scene)
    if part in facts.rows:
        return facts.noun(part), objects.describe(part)
    return () if part is None else (part,)


SAID_OF_PICTURES = ("put", "push", "open", "close")  # verbs whose instructions a still picture may come with
POINTERS = (
    "pick up {}", "reach behind {}", "take the handle of {}", "find {}", "look at {}", "point at {}", "where is {}",
    "go to {}", "grasp {}", "touch {}", "take {}", "show me {}",
)  # fmt: skip


def pointing(
    parts: tuple[str, ...], rng: np.random.Generator, without: Sequence[Combination] = ()
) -> tuple[str, int, int | None]:
    """Something to say about a picture that holds `parts`: a text, and the slots of the object and of the place it names.

    In a still picture nothing has to be done, so any thing may be named with any place, but for reserved cells and what is
    held out besides, however it were done (`without`).
    """
    facts = objects.household()
    things = [p for p in parts if p in facts.rows]
    spots = [p for p in parts if p in places.PLACES]
    fixtures = [p for p in parts if p in places.FIXTURES]
    if rng.random() < 0.25 or not spots or not things:
        thing = str(rng.choice([*things, *spots, *fixtures]))
        text = POINTERS[rng.integers(len(POINTERS))].format(name_of(thing, facts, by_look=rng.random() < 0.25))
        return text, parts.index(thing), None
    if fixtures and rng.random() < 0.4:
        goal = Goal(("open", "close")[rng.integers(2)], str(rng.choice(fixtures)))
    else:
        verb = ("put", "push")[rng.integers(2)]
        pairs = [(a, b) for a in things for b in spots if not is_reserved_cell(verb, a, b)]
        if without:
            pairs = [(a, b) for a, b in pairs if not is_held_out(Combination(verb, a, b), without)]
        if not pairs:
            return pointing(parts, rng, without)
        goal = Goal(verb, *pairs[rng.integers(len(pairs))])
    text = instruct(find(goal.verb, "pilab.world.tasks", "TASK"), goal, facts, rng)
    return text, parts.index(goal.object), None if goal.place is None else parts.index(goal.place)


def vocabulary(
    scenes: Sequence[Scene], said: Sequence[str], pictures: Sequence[tuple[str, ...]] = ()
) -> frozenset[str]:
    """All words that training can show: recorded sentences, what is said of the demonstrations' scenes, and of `pictures`,
    each the names of the parts in it.
    """
    texts, tasks = set(said), {}
    for scene in {(s.task, steps_of(s), s.facts): s for s in scenes}.values():
        tasks[scene.task] = task_of(scene)
        texts.update(task_of(scene).subtasks(scene, facts_of(scene)))
        texts.update(name for part in scene.parts for name in names(part.name, scene))
    if pictures:
        facts = objects.household()
        tasks |= {verb: find(verb, "pilab.world.tasks", "TASK") for verb in SAID_OF_PICTURES}
        texts.update(POINTERS)
        for part in {part for parts in pictures for part in parts}:
            texts.update((facts.noun(part), objects.describe(part)) if part in facts.rows else (part,))
    for task in tasks.values():
        texts.update((*task.templates, *task.paraphrases, "the in on"))
    words = Tokenizer.default().words
    return frozenset(word for text in texts for word in words(re.sub(r"\{.*?\}", " ", text)))
