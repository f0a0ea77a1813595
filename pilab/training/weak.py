"""Careless annotation, made on purpose: episodes whose words name another thing in view than the one that was moved.

What a person who labels by the hundred gets wrong is not noise on a picture but a wrong sentence, and everything that
follows from it: the goal, the thoughts and the points that go with the words are those of the other thing; the pictures and
the actions stay what they were.
"""

from __future__ import annotations

import numpy as np

from pilab.training.data import Demonstrations
from pilab.world.scenes import alternatives
from pilab.world.task import facts_of, respoken, task_of


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
