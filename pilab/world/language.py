"""From typed words to a goal: the tasks' own templates, read backwards.

For people who type an instruction to set up a scene; policies read the words themselves.
"""

from __future__ import annotations

import re

from pilab.contracts import Goal, SceneError, UnknownNameError, find, names_in
from pilab.world import objects, places


def understand(text: str, facts: objects.Facts | None = None) -> tuple[str, Goal]:
    """The task and the goal of an instruction such as `put the apple in the bowl`.

    Objects may be called by their noun or their look (`the red and green ball`). Raises `SceneError` with examples where no
    template fits, `UnknownNameError` with the valid names for an unknown object or place.
    """
    facts = facts or objects.household()
    said = " ".join(re.sub(r"[^a-z -]", " ", text.lower()).split())
    forms = {said, re.sub(r"^please | please$", "", said)}
    examples, unknown = [], None
    for name in names_in("pilab.world.tasks"):
        task = find(name, "pilab.world.tasks", "TASK", "task")
        if not task.swappable:  # its words name nothing: what they ask for is a matter of the scene
            continue
        thing = "the drawer" if task.verb in ("open", "close") else "the banana"
        place = "the sponge" if task.verb == "stack" else "the bowl"
        examples.append(task.templates[0].format(object=thing, place=place, **{"in": "in"}))
        for template in (*task.templates, *task.held_out_templates):
            pattern = re.escape(template).replace(r"\{in\}", "(?:in|on|into|onto)")
            for slot in ("object", "place"):
                pattern = pattern.replace(rf"\{{{slot}\}}", rf"(?:the )?(?P<{slot}>[a-z -]+?)")
            found = next(filter(None, (re.fullmatch(pattern, form) for form in forms)), None)
            try:
                if found:
                    return name, _goal(task.verb, found.groupdict(), facts)
            except UnknownNameError as error:  # another template may fit: "over to" begins like "to"
                unknown = unknown or error
    if unknown:
        raise unknown
    raise SceneError(f"cannot make out {text!r}; say, for example: " + "; ".join(f"“{e}”" for e in examples))


def _goal(verb: str, words: dict[str, str], facts: objects.Facts) -> Goal:
    """The goal that the words of a template's slots name; raises `UnknownNameError`."""
    if verb in ("open", "close"):
        for name, fixture in places.FIXTURES.items():
            if words["object"] in fixture.nouns:
                return Goal(verb, name)
        raise UnknownNameError("thing that opens", words["object"], list(places.FIXTURES))
    place = words.get("place")
    if verb == "stack" and place is not None:
        return Goal(verb, _look(words["object"], facts), _look(place, facts))
    if place is not None and place not in places.PLACES:
        raise UnknownNameError("place", place, list(places.PLACES))
    return Goal(verb, _look(words["object"], facts), place)


def _look(words: str, facts: objects.Facts) -> str:
    for look in objects.LOOKS:
        if words == objects.describe(look):
            return look
    return facts.look(words)
