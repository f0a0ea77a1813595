"""The quiz: questions about pictures and about facts, answered in words. What pretraining taught, before any robot moves.

Design choices
--------------
* Pictures are drawn for the quiz alone, with a seed that no training uses; those of the robot's own domain can be asked for
  alone, because naming on the web is worth nothing if the robot's camera sees otherwise.
* An answer is right when it is the answer, word for word: an exact noun, not something like it.
* Rows carry the object (the cluster of any claim about objects), the kind of question, and whether the object is reserved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pilab.contracts import Row, UnknownNameError, image_key, points_key
from pilab.data.web import text
from pilab.data.web.lore import find_lore
from pilab.data.web.pictures import CAMERA, WebPictures
from pilab.data.web.questions import ASKERS, Picture
from pilab.engine import provenance
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.scenes import VALIDATION


def picture_quiz(
    policy: VLAPolicy, pictures: int = 400, seed: int = VALIDATION.start, *, kinds: Sequence[str] = ("name",),
    facts: str = "household", at_work: bool = True, arm: str = "vla", progress: bool = True,
) -> list[Row]:  # fmt: skip
    """One row for each picture and kind of question that can be asked of it and has an answer in words.

    at_work: only of pictures taken as the robot's camera takes them (about half of `pictures`). Raises
    `UnknownNameError` for a kind that there is not.
    """
    if unknown := [kind for kind in kinds if kind not in ASKERS]:
        raise UnknownNameError("kind of question", unknown[0], list(ASKERS))
    web, lore = WebPictures.open(pictures, seed, policy.body.name, progress=progress), find_lore(facts)
    asked = []
    for k, note in enumerate(web.notes):
        if at_work and not note["at_work"]:
            continue
        picture, rng = Picture.of(note, web[points_key(CAMERA)][k], lore), np.random.default_rng([seed, 47, k])
        asked += [(k, kind, q) for kind in kinds if (q := ASKERS[kind](picture, rng)) and q.answer is not None]
    shown = {CAMERA: web[image_key(CAMERA)][[k for k, _, _ in asked]]}
    said = policy.say(shown, [q.text for _, _, q in asked])
    origin = provenance()
    return [
        Row(
            unit="question", arm=arm, suite="pictures", control="none", seed=seed + k, scene=f"web-{web.folder.name}-{k}",
            success=answer == q.answer,
            metrics={"reserved": q.object in objects.RESERVED, "at_work": web.notes[k]["at_work"]},
            clusters={"kind": kind, "object": q.object or "", "answered": answer, "facts": facts},
            checkpoint=policy.fingerprint, commit=origin["commit"], versions=origin["versions"], instruction=q.text,
        )
        for (k, kind, q), answer in zip(asked, said, strict=True)
    ]  # fmt: skip


def fact_quiz(
    policy: VLAPolicy, questions: int = 400, seed: int = VALIDATION.start, *, facts: str = "household", arm: str = "vla"
) -> list[Row]:
    """One row for each question about the facts of a world, without a picture; what is drawn twice is asked once.

    Four in five of them training asks too, in the same words (metric `rehearsed`): who answers has kept what it was told. The
    others it never asks, though the texts say the same, and other questions may touch on it.

    What stands for the scene is the question: two policies are compared on the same.
    """
    lore = find_lore(facts)
    asked = dict(text.question(lore, seed, k) for k in range(questions))
    said, origin = policy.say({}, list(asked)), provenance()
    return [
        Row(
            unit="question", arm=arm, suite="facts", control="none", seed=seed, scene=f"{facts}: {question}",
            success=heard == answer, metrics={"rehearsed": not text.never_asked(question)},
            clusters={"answered": heard, "facts": facts}, checkpoint=policy.fingerprint, commit=origin["commit"],
            versions=origin["versions"], instruction=question,
        )
        for (question, answer), heard in zip(asked.items(), said, strict=True)
    ]  # fmt: skip
