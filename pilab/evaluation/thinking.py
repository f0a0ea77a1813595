"""Thoughts about single frames, marked: is the place right, is the noun, and which hop went astray?

Design choices
--------------
* A frame is a picture of the web as the robot's camera takes it, drawn for the test alone; what is meant can be told from the
  words without its name, and where it goes follows from what it is.
* **The unit is the object**: answers about one object are nearly all right or all wrong, so rows carry it as a cluster, and
  whether the robot ever handled it.
* **An edit** begins the thought with another's hop. Right is then what follows from the edit, whatever the picture shows.
* Rows keep what was said and what is right in the world of the frames: where facts on the web were shuffled, what is said can
  be compared with either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from pilab.contracts import Row, image_key, points_key
from pilab.data.web.chains import concluded, conclusion, edit, first_error
from pilab.data.web.lore import find_lore
from pilab.data.web.pictures import CAMERA, WebPictures
from pilab.data.web.questions import Picture, to_put_away
from pilab.engine import provenance
from pilab.evaluation.statistics import Rate, wilson
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.scenes import VALIDATION


def frame_quiz(
    policy: VLAPolicy, pictures: int = 400, seed: int = VALIDATION.start, *, handled: Collection[str],
    facts: str = "household", chain: bool = True, called: str = "where", edited: str = "", arm: str = "vla",
    progress: bool = True,
) -> list[Row]:  # fmt: skip
    """One row for each picture in which something can be meant without its name (about half of `pictures`).

    handled: looks that its robot frames were about. chain: how it is asked to think. called: how the words call what is meant,
    one of `questions.CALLED`. edited: the hop, one of `chains.HOPS`, with which another begins each thought; "" for none.
    `success` is the right place.
    """
    web, lore = WebPictures.open(pictures, seed, policy.body.name, progress=progress), find_lore(facts)
    others = [lore.shown[look] for look in sorted(handled)]
    asked, begun, right = [], [], []
    for k, note in enumerate(web.notes):
        picture, rng = Picture.of(note, web[points_key(CAMERA)][k], lore), np.random.default_rng([seed, 50, k])
        question = to_put_away(picture, rng, called) if note["at_work"] else None
        if question is None:
            continue
        entity = lore.shown[question.object]
        asked.append((k, question))
        changed = edit(entity, edited, lore, others, rng) if edited else None
        begun.append(changed.chain[: changed.given] if changed else ())
        noun, home = (changed.noun, changed.home) if changed else (entity.noun, entity.home)
        right.append((objects.describe(question.object) if called == "look" else noun, home))
    shown = {CAMERA: web[image_key(CAMERA)][[k for k, _ in asked]]}
    thoughts = policy.ponder(shown, [q.text for _, q in asked], chain=chain, begun=begun)
    origin, rows = provenance(), []
    for (k, question), (name, home), thought in zip(asked, right, thoughts, strict=True):
        entity = lore.shown[question.object]
        said = concluded(thought.subtask)
        rows.append(
            Row(
                unit="frame", arm=arm, suite="frames", control=f"edited {edited}" if edited else "none", seed=seed + k,
                scene=f"web-{web.folder.name}-{k}", success=said[1] == home,
                metrics={
                    "noun": said[0] == name, "subtask": thought.subtask == conclusion(name, home),
                    "handled": question.object in handled,
                },
                clusters={
                    "object": question.object, "kind": entity.kind, "right": home, "said": said[1], "facts": facts,
                },
                failure=first_error(thought, entity, lore) if chain and not edited else "",
                checkpoint=policy.fingerprint, commit=origin["commit"], versions=origin["versions"],
                instruction=question.text,
            )
        )  # fmt: skip
    return rows


def constant_guess(rows: Sequence[Row]) -> Rate:
    """What the best constant answer of each world would score on the same frames."""
    worlds: dict[str, list[str]] = {}
    for row in rows:
        worlds.setdefault(str(row.clusters["facts"]), []).append(str(row.clusters["right"]))
    return wilson(sum(max(map(homes.count, set(homes))) for homes in worlds.values()), len(rows))


def look_guess(rows: Sequence[Row], handled: Mapping[str, Collection[str]]) -> Rate:
    """What who knows nothing but looks would score: the home that most of the handled things have which look most alike.

    handled: table of facts → looks. As kinds are counterbalanced over shapes and colours, this lies below chance: a thing that
    is kept back is more often of another kind than its likes.
    """
    right = 0
    for row in rows:
        facts, look = find_lore(str(row.clusters["facts"])).shown, str(row.clusters["object"]).split("-")
        others = [other for other in handled[str(row.clusters["facts"])] if other != row.clusters["object"]]
        alike = {other: sum(a == b for a, b in zip(look, other.split("-"), strict=True)) for other in others}
        homes = [facts[other].home for other in sorted(others) if alike[other] == max(alike.values())]
        right += max(homes, key=homes.count) == row.clusters["right"]
    return wilson(right, len(rows))
