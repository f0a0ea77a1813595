"""Put an object in or on a place."""

from __future__ import annotations

from pilab.contracts import Goal
from pilab.world import objects, places, scenes
from pilab.world.tasks._carry import CarryTask


class Put(CarryTask):
    name = verb = "put"
    demonstrator = "pilab.world.demonstrators.carry:Carry"
    templates = (
        "put {object} {in} {place}",
        "place {object} {in} {place}",
        "move {object} to {place}",
        "set {object} {in} {place}",
        "pick up {object} and put it {in} {place}",
        "{object} goes {in} {place}",
    )
    paraphrases = (
        "set {object} down {in} {place}",
        "please put {object} {in} {place}",
        "could you place {object} {in} {place} for me",
        "grab {object} and set it {in} {place}",
        "i would like you to put {object} {in} {place}",
        "take {object} and lay it {in} {place}",
        "{in} {place} please put {object}",
        "lift {object} and drop it off {in} {place}",
        "can you pick {object} up and leave it {in} {place}",
        "okay so now just pop {object} {in} {place}",
        "i want {object} to be placed {in} {place}",
        "would you mind putting {object} {in} {place}",
        "deposit {object} {in} {place}",
        "get {object} and rest it {in} {place}",
        "{object} should be sitting {in} {place} when you are done",
        "stick {object} {in} {place} will you",
        "hey robot find {object} and put it down {in} {place}",
        "the right spot for {object} is {in} {place} so please carry it there",
        "make sure {object} ends up {in} {place}",
        "fetch {object} and then position it {in} {place}",
        "lift up {object} then lower it gently {in} {place}",
        "um could {object} be put {in} {place}",
        "your job is to pick up {object} and release it {in} {place}",
        "see {object} well i need it put down {in} {place}",
        "take hold of {object} raise it and set it {in} {place}",
        "it would be great to have {object} placed {in} {place}",
    )
    held_out_templates = (
        "could you drop {object} {in} {place}",
        "i would like {object} to be {in} {place}",
        "take {object} and leave it {in} {place} please",
    )

    def lay_out(self, rng, pool, cell, reserved):
        target, place = scenes.draw_cell(rng, self.verb, pool, tuple(places.PLACES), reserved, cell)
        others = [p for p in places.PLACES if p != place]
        count = rng.integers(1, 3)
        standing = scenes.stand(rng, [place, *(others[i] for i in rng.permutation(len(others))[:count])])
        things = scenes.scatter(rng, scenes.draw_company(rng, [target], pool), standing)
        return [*things, *standing], Goal(self.verb, target, place)

    def achieved(self, world, goal):
        place, tall = places.place_of(world.scene.part(goal.place)), objects.shape_of(goal.object).height
        there = place.holds(world.position(goal.object), world.position(goal.place), tall)
        return there and not world.touched(goal.object)


TASK = Put()
