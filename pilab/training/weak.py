"""Careless annotation, made on purpose.

What a person who labels by the hundred gets wrong is not noise on a picture but a wrong sentence, and everything that
follows from it: the goal, the thoughts and the points that go with the words are those of another thing; the pictures and the
actions stay what they were. And what a coach says may be a control: as many words, at the same moments, about anything.
"""

from __future__ import annotations

import numpy as np

from pilab.contracts import Goal
from pilab.training.data import Demonstrations
from pilab.world.places import PLACES
from pilab.world.scenes import alternatives
from pilab.world.task import facts_of, respoken, step_scene, task_of


def mislabel(demonstrations: Demonstrations, share: float, seed: int) -> list[int]:
    """Change the words of a share of the training episodes in place; returns which.

    Episodes in which nothing else could have been meant keep their words, as do those of validation.
    """
    d, rng = demonstrations, np.random.default_rng([seed, 48])
    wrong = []
    if not share:
        return wrong
    for episode in map(int, np.unique(d.episode[d.training])):
        scene = d.scenes[episode]
        others = alternatives(d.body, task_of(scene), list(scene.parts), scene.goal) if scene else []
        if rng.random() >= share or not others:
            continue
        d.scenes[episode] = said = respoken(scene, others[rng.integers(len(others))], rng)
        d.said[episode], facts, frames = said.instruction, facts_of(scene), d.episode == episode
        was, now = (task_of(scene).subtasks(one, facts) for one in (scene, said))
        other = dict(zip(was, now, strict=True))
        d.subtask = d.subtask.astype(object)
        d.subtask[frames] = [other.get(text, text) for text in d.subtask[frames]]
        wrong.append(episode)
    return wrong


def babble(demonstrations: Demonstrations, seed: int) -> int:
    """Have the coach say the same, in place, of any thing and any place in view, each time drawn anew. Returns how often."""
    d, rng, said = demonstrations, np.random.default_rng([seed, 54]), 0
    d.subtask = d.subtask.astype(object)
    for episode in map(int, np.unique(d.episode[d.corrected])):
        scene, frames = d.scenes[episode], np.flatnonzero(d.episode == episode)
        things = [part.name for part in scene.parts if part.name in facts_of(scene).rows]
        spots = [part.name for part in scene.parts if part.name in PLACES]
        if not things or not spots:
            continue
        begins = np.flatnonzero(np.append(True, d.subtask[frames][1:] != d.subtask[frames][:-1]))
        for utterance in np.split(frames, begins[1:]):
            goal = Goal("put", things[rng.integers(len(things))], spots[rng.integers(len(spots))])
            step = step_scene(scene, goal)
            d.subtask[utterance] = task_of(step).say_plain(goal, facts_of(scene))
            said += 1
    return said
