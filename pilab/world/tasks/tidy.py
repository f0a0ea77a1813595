"""Put everything where it belongs: two or three things, each in or on the place of its kind. The words name none of them.

`ONE`, `TWO` and `THREE` are as long as they say: the same words ask for more or less to be done.
"""

from __future__ import annotations

from pilab.world.tasks._put_away import MOST, PutAway


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


class Counted(Tidy):
    """So many things."""

    def __init__(self, number: int) -> None:
        self.things, self.seconds = (number, number), 12.0 * number


TASK = Tidy()
ONE, TWO, THREE = map(Counted, (1, 2, MOST))
