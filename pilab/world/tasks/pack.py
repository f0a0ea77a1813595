"""Pack up work and play: tools and toys go where they belong, and what is neither is left alone."""

from __future__ import annotations

from pilab.world.tasks._put_away import PutAway


class Pack(PutAway):
    name = verb = "pack"
    kinds = ("tool", "toy")
    templates = (
        "pack up work and play",
        "put work and play away",
        "clear away what is for working and playing",
        "pack the working and playing things",
        "work and play are over",
    )
    paraphrases = (
        "please pack up work and play",
        "could you clear away what is for work or play",
        "put away what we work and play with",
        "we have worked and played enough pack it up",
        "what is for working or playing goes away now",
        "pack up everything for work and play please",
    )
    held_out_templates = (
        "the day is over pack it in",
        "no more hammering and no more games",
        "make room leave the kitchen things",
    )


TASK = Pack()
