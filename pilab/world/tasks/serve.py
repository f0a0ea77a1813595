"""Set the table for a meal: dishes and fruits go where they belong, and what is neither is left alone."""

from __future__ import annotations

from pilab.world.tasks._put_away import PutAway


class Serve(PutAway):
    name = verb = "serve"
    kinds = ("dish", "fruit")
    templates = (
        "set the table",
        "set the table for a meal",
        "lay the table",
        "get the meal ready",
        "serve the meal",
    )
    paraphrases = (
        "please set the table",
        "could you lay the table",
        "i am hungry so set the table",
        "set everything for the meal",
        "the meal is soon please set the table",
        "can you get the table ready for a meal",
    )
    held_out_templates = (
        "we want to eat",
        "dinner is in five minutes",
        "guests are here for lunch",
    )


TASK = Serve()
