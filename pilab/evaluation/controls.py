"""Controls: what must happen to a measurement when one thing is taken away. Same names everywhere.

* `black`: every camera is black. A policy that still succeeds does not look.
* `swap`: the instruction names another object that is present (another fixture, for open and close). `success` scores the
  original task, `followed` the spoken one. A policy that still succeeds does not listen. A privileged policy is handed the
  other goal: there, the control checks the stack and the metrics, not listening.
* `scramble`: the words of the instruction in random order, each with its letters shuffled.
* `paraphrase`: the same goal in a sentence whose template nothing is ever trained on. A policy that hears words, and has not
  learnt sentences by heart, does as well as before.
* `replay`: recorded commands of the demonstrator, played back through the whole stack in the same scene; the rows stand
  under the name of what was replayed.

Each is a function (trial, rng) → trial. `replay` replaces the policy instead: see `rollout.evaluate`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from pilab.contracts import PolicyError
from pilab.evaluation.glasses import dimmed, over, pictures
from pilab.robots.simulated import Trial
from pilab.world.scenes import alternatives, find_body
from pilab.world.task import respoken, task_of


def black(trial: Trial, rng: np.random.Generator) -> Trial:
    """All cameras black."""
    return dataclasses.replace(trial, view=over(trial.view, dimmed(pictures, 0.0)))


def swap(trial: Trial, rng: np.random.Generator) -> Trial:
    """Another object's instruction; raises `PolicyError` when the scene holds no other object to name."""
    scene = trial.scene
    others = alternatives(find_body(scene.body), task_of(scene), list(scene.parts), scene.goal)
    if not others:
        raise PolicyError(
            f"nothing else can be named in scene {scene.hash} (seed {scene.seed}, task {scene.task!r}); swap wants a task "
            "that names what it is about"
        )
    return dataclasses.replace(trial, spoken=respoken(scene, others[rng.integers(len(others))], rng))


def scramble(trial: Trial, rng: np.random.Generator) -> Trial:
    """Nonsense with the same letters."""
    words = trial.scene.instruction.split()
    nonsense = " ".join("".join(rng.permutation(list(words[i]))) for i in rng.permutation(len(words)))
    return dataclasses.replace(trial, spoken=trial.scene.replace(instruction=nonsense))


def paraphrase(trial: Trial, rng: np.random.Generator) -> Trial:
    """The same goal in unheard words."""
    return dataclasses.replace(trial, spoken=respoken(trial.scene, trial.scene.goal, rng, held_out=True))


def unchanged(trial: Trial, rng: np.random.Generator) -> Trial:
    return trial


CONTROLS: Mapping[str, Callable[[Trial, np.random.Generator], Trial]] = {
    "none": unchanged,
    "black": black,
    "swap": swap,
    "scramble": scramble,
    "paraphrase": paraphrase,
    "replay": unchanged,
}
