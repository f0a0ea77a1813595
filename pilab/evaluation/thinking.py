"""Thoughts about single frames, marked: is the place right, is the noun, and which hop went astray?

Design choices
--------------
* A frame is a picture of the web as the robot's camera takes it, drawn for the test alone; what is meant can be told from the
  words without its name, and where it goes follows from what it is.
* **The unit is the object**: answers about one object are nearly all right or all wrong, so rows carry its noun as a cluster
  (in every world it has another), and whether the robot ever handled it.
* **What a thought means**: its points mean what is nearest to them and not too far, its words what they name; where it has
  both, its points, as they are acted on. Who thinks nothing acts on where it looks: that is its answer.
* **An edit** begins the thought with another's hop. Right is then what follows from the edit, whatever the picture shows.
* Rows keep what was said and what is right in the world of the frames: where facts on the web were shuffled, what is said can
  be compared with either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from pilab.contracts import Row, Thought, image_key, points_key
from pilab.data.web.chains import concluded, conclusion, edit, first_error
from pilab.data.web.instructions import Framing
from pilab.data.web.lore import Lore, find_lore
from pilab.data.web.pictures import CAMERA, WebPictures
from pilab.data.web.questions import APART, Picture
from pilab.engine import provenance
from pilab.evaluation.statistics import Rate, wilson
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.scenes import VALIDATION


def frame_quiz(
    policy: VLAPolicy, pictures: int = 400, seed: int = VALIDATION.start, *, framing: Framing, facts: str = "household",
    chain: bool = True, edited: str = "", signs: Sequence[str] = (), arm: str = "vla", progress: bool = True,
) -> list[Row]:  # fmt: skip
    """One row for each picture in which something can be meant as `framing` says it (about half of `pictures`).

    framing: of its training; here, however, any thing may be in view. chain: how it is asked to think. edited: the hop, one of
    `chains.HOPS`, with which another begins each thought; "" for none. signs: words of which one stands in every picture.
    `success` is the right place, or to leave the thing alone where a sign says so.
    """
    web, lore = WebPictures.open(pictures, seed, policy.body.name, progress=progress, signs=signs), find_lore(facts)
    others = [lore.shown[look] for look in sorted(framing.handled)]
    asked, begun = [], []
    for k, note in enumerate(web.notes):
        picture, rng = Picture.of(note, web[points_key(CAMERA)][k], lore), np.random.default_rng([seed, 50, k])
        given = framing.instruct(picture, rng) if note["at_work"] else None
        if given is None:
            continue
        thing, name, home = given.question.object, concluded(given.question.answer)[0], given.home
        if edited:
            changed = edit(lore.shown[thing], edited, lore, others, rng)
            home = changed.home
            if name == lore.shown[thing].noun:  # who is called by its look is still what it looks like
                thing, name = _named(changed.noun, lore), changed.noun
        begun.append(changed.chain[: changed.given] if edited else ())
        asked.append((k, picture, given, thing, name, home))
    shown = {CAMERA: web[image_key(CAMERA)][[k for k, *_ in asked]]}
    texts = [given.question.text for _, _, given, *_ in asked]
    if policy.checkpoint.driving.thinks:
        thoughts = policy.ponder(shown, texts, chain=chain, begun=begun)
    else:
        thoughts = [Thought(points=look.points) for look in policy.locate(shown, texts)]
    origin, rows = provenance(), []
    for (k, picture, given, thing, name, home), thought in zip(asked, thoughts, strict=True):
        entity = lore.shown[given.question.object]
        name_said, place_said = concluded(thought.subtask)
        spoken, pointed = (_named(name_said, lore), place_said), _pointed(thought, picture)
        meant, place = pointed or spoken
        ways = {"by_words": spoken if thought.subtask else None, "by_points": pointed}
        told = {way: answer == (thing, home) for way, answer in ways.items() if answer}
        marked, right = chain and given.open and not edited and not framing.signs, given.question.answer
        rows.append(
            Row(
                unit="frame", arm=arm, suite="frames", control=f"edited {edited}" if edited else "none", seed=seed + k,
                scene=f"web-{web.folder.name}-{k}", success=place == home and bool(meant),
                metrics={
                    "thing": meant == thing, "subtask": thought.subtask == (conclusion(name, home) if edited else right),
                    "handled": given.question.object in framing.handled, **told,
                    **({"left": bool(name_said) and (thought.subtask or "").startswith("leave ")} if framing.signs else {}),
                },
                clusters={
                    "object": given.question.object, "noun": entity.noun, "kind": entity.kind, "right": home, "said": place,
                    "facts": facts,
                    **({"sign": given.sign} if framing.signs else {}),
                },
                failure=first_error(thought, entity, lore) if marked else "",
                checkpoint=policy.fingerprint, commit=origin["commit"], versions=origin["versions"],
                instruction=given.question.text,
            )
        )  # fmt: skip
    return rows


def _pointed(thought: Thought, picture: Picture) -> tuple[str, str] | None:
    """The thing and the place that points mean, "" for what is pointed past; None without points."""
    told = thought.points.get(CAMERA)
    if not told:
        return None
    return _nearest(told.get("object"), picture.things, picture), _nearest(told.get("place"), picture.spots, picture)


def _nearest(point: Sequence[float] | None, parts: Sequence[str], picture: Picture) -> str:
    """The one of some parts that a point is on, or right beside."""
    away = {} if point is None else {p: float(np.hypot(*np.subtract(point, picture.points[p]))) for p in parts}
    return min((part for part, distance in away.items() if distance < APART), key=away.get, default="")


def _named(name: str, lore: Lore) -> str:
    """The look of a thing that is called so; "" for none."""
    return next((look for look, entity in lore.shown.items() if name in (entity.noun, objects.describe(look))), "")


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
