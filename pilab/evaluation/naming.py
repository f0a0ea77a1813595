"""The naming probe: does the policy see what the words name? The entry condition of every experiment about language.

In still scenes every object is named in turn, by noun and by look; the peak of the policy's heat map must lie on it, among
distractors of which, in half of the scenes, one shares its shape or a colour. No action is taken, so a failure here is a
failure of perception or of language, not of the hand. `pool` says which objects: of one that only the web has shown
(`objects.RESERVED`), who learnt from a robot alone cannot know the name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm.auto import tqdm

from pilab.contracts import TASK, Row, Thought, points_key
from pilab.engine import provenance
from pilab.robots.executor import batch
from pilab.vla.grounding import ROLES
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, sample_scene
from pilab.world.task import name_of

THRESHOLD = 0.97  # share of right answers below which nothing about language is testable
NEAR = 8.0  # pixels: the peak lies on a thing when its centroid is this near and nothing else's is nearer


def naming_probe(
    policy: VLAPolicy, scenes: int = 100, seed: int = VALIDATION.start, *, task: str = "put", camera: str = "base",
    pool: tuple[str, ...] = objects.HANDLED, facts: str = "household", arm: str = "vla", progress: bool = True,
) -> list[Row]:  # fmt: skip
    """One row per question: is the peak of the object's heat map in `camera` on the named object? facts: that name it."""
    rows, origin, table = [], provenance(), objects.find_facts(facts)
    for k in tqdm(range(seed, seed + scenes), desc="naming probe", disable=not progress):
        scene = sample_scene(k, task, body=policy.body.name, pool=pool, facts=table)
        world = World(scene)
        seen = world.observe((*policy.cameras,), points=True)
        things = [i for i, p in enumerate(scene.parts) if "look" in p.parameters]
        questions = [(i, by_look) for i in things for by_look in (False, True)]
        texts = [f"pick up {name_of(scene.parts[i].name, table, by_look)}" for i, by_look in questions]
        looks = policy.look(batch([{**seen, TASK: t} for t in texts]), [Thought.nothing()] * len(texts))
        for (i, by_look), text, look in zip(questions, texts, looks, strict=True):
            found = _nearest(
                look.heat[camera][ROLES.index("object")], seen[points_key(camera)], policy.body.camera(camera)
            )
            rows.append(
                Row(
                    unit="question", arm=arm, suite="naming", control="none", seed=k, scene=scene.hash,
                    success=found == i, metrics={"by_look": by_look, "reserved": scene.parts[i].name in objects.RESERVED},
                    clusters={"object": scene.parts[i].name, "answered": scene.parts[found].name if found >= 0 else ""},
                    checkpoint=policy.fingerprint, commit=origin["commit"], versions=origin["versions"], instruction=text,
                )
            )  # fmt: skip
    return rows


def _nearest(heat: np.ndarray, points: np.ndarray, camera) -> int:
    """The part on which the peak of a heat map (h, w) lies; −1 for none. points (slots, 3): u, v, visible."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    peak = np.array([(column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]])
    away = np.linalg.norm((points[:, :2] - peak) * [camera.width, camera.height], axis=1)
    away[points[:, 2] == 0] = np.inf
    return int(away.argmin()) if away.min() < NEAR else -1


def errors(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """(named, answered) → how often, for the wrong answers: which things are taken for which."""
    wrong: dict[tuple[str, str], int] = {}
    for row in rows:
        if not row.success:
            pair = (str(row.clusters["object"]), str(row.clusters["answered"]))
            wrong[pair] = wrong.get(pair, 0) + 1
    return dict(sorted(wrong.items(), key=lambda item: -item[1]))
