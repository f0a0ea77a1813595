"""Put everything where it belongs: two or three things, each in or on the place of its kind. The words name none of them."""

from __future__ import annotations

from pilab.world.tasks._put_away import PutAway


class Tidy(PutAway):
    name = verb = "tidy"
    templates = (
        "put everything where it belongs",
        "tidy up",
        "clean up the table",
        "put all things away",
        "everything goes to its place",
    )
    paraphrases = (
        "please tidy up the table",
        "could you put everything away",
        "put each thing where it belongs",
        "i would like the table to be tidy",
        "tidy the table please",
        "make sure everything is where it belongs",
        "clear the table please",
        "all of this should be put away",
    )
    held_out_templates = (
        "bring some order into this",
        "this is a mess please clean it up",
        "leave nothing lying around",
    )


TASK = Tidy()
