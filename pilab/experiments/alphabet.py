"""The recipe in phonetic alphabet: a script that is known from a dictionary alone is asked for in sentences.

The interview's example: phonetic script stands behind single words in dictionaries, nobody writes a text in it, and yet a
language model that is asked for a recipe in it writes paragraphs. Here the smallest model of which that can be asked: it
writes character by character, has read kitchen sentences in a dozen notations, and a further one in a dictionary only.

Design choices
--------------
* **A text says its notation first**: `/fish=ɸɪʃ` is an entry of the dictionary, `!heat it=HEAT IT` a sentence in capitals.
  No sign of the phonetic alphabet is part of another notation, and none stands before or behind a blank.
* **It spells**: letters, letter groups and a rule about what follows. The dictionary has some 2400 words, each of which is
  met a few times: too often to be new, too seldom to be learnt by heart. Some words of the kitchen are never in it.
* **Sentences are asked that training leaves out**, one in five by a hash.
* **Arms read the same texts in the same order**, but for what their names say, from the same initial weights. In the control
  every word has the spelling of another one: as many words, as many signs, nothing to put together.
* **What is counted is the target**: in what is copied, not in what comes next in a recipe, lies all there is to learn here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pilab.contracts import Row, Scale
from pilab.engine import provenance
from pilab.evaluation.rollout import rate_of
from pilab.evaluation.statistics import Rate
from pilab.evaluation.verdict import SEED
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.experiments._notations import BLANK, KITCHEN, OTHERS, PHONETIC, Notation, lexicon, new_sentences, write
from pilab.experiments._speller import (
    ARMS,
    DICTIONARY,
    ONE,
    SCRAMBLED,
    SHOWN,
    THREE,
    WORDS,
    Speller,
    dictionary,
    document,
    find_arm,
    learn,
)

__all__ = [  # what notebooks take from here; how it is made is in the two files above
    "ARMS", "DICTIONARY", "EXPERIMENT", "ONE", "SCRAMBLED", "SHOWN", "THREE", "WORDS", "document", "examine", "learn",
    "new_sentences", "rates", "write",
]  # fmt: skip

VERSION = 1  # of what is no part of a config: who changes it makes new runs of all
SEEDS = (0, 1, 2)

# ----------------------------------------------------------------------------------------------------------------- exam
SENTENCES, OTHER = "sentences", "other notations"
TAUGHT_WITHIN, NEW_WITHIN = "taught words in sentences", "new words in sentences"
TAUGHT_ALONE, NEW_ALONE = "taught words alone", "new words alone"
SUITES = (SENTENCES, TAUGHT_WITHIN, NEW_WITHIN, TAUGHT_ALONE, NEW_ALONE, OTHER)
ELSEWHERE, LOST, MISSPELT = "another notation", "other words", "misspelt"  # in this order: what is wrong with a line


def examine(speller: Speller, sentences: int = 150, seed: int = 0) -> list[Row]:
    """Rows of all `SUITES`: so many new sentences in phonetic alphabet, each of their words, all words of the kitchen alone,
    and the same sentences in the other notations that the arm has read, each in one of them.

    Words are new where the dictionary lacks them; `success` is to be spelt right, at its place. What stands for the scene is
    the sentence, the word, or the place of a word in a sentence: arms are compared on the same.
    """
    words, entries = lexicon(speller.seed), dictionary(speller.arm, speller.seed)
    known, asked, rows = set(words.taught), new_sentences(sentences, seed), []
    about = {"arm": speller.arm, "control": "none", "seed": seed, "checkpoint": speller.fingerprint, **provenance()}

    def row(suite: str, scene: str, said: str, source: str, notation: Notation, **metrics: float) -> Row:
        right, alone = notation.write(source), BLANK not in source
        clusters = {"word": source} if alone else {"notation": notation.name}
        if source in known:
            metrics["as taught"] = said == entries[source]
        return Row(
            unit="word" if alone else "sentence", suite=suite, scene=scene, success=said == right, metrics=metrics,
            clusters={SEED: speller.seed, "written": said, **clusters}, failure=_failure(said, right, notation),
            instruction=source, **about,
        )  # fmt: skip

    for text, said in zip(asked, speller.write_all(asked), strict=True):
        rows.append(row(SENTENCES, text, said, text, PHONETIC, error=error(said, write(text))))
        for k, (word, one) in enumerate(zip(text.split(), _at_their_places(said, text), strict=True)):
            suite = TAUGHT_WITHIN if word in known else NEW_WITHIN
            rows.append(row(suite, f"{text}, word {k + 1}", one, word, PHONETIC, first=k == 0))
    alone = [*(word for word in KITCHEN if word in known), *words.kept]
    for word, said in zip(alone, speller.write_all(alone), strict=True):
        rows.append(row(TAUGHT_ALONE if word in known else NEW_ALONE, word, said, word, PHONETIC))
    read = OTHERS[: find_arm(speller.arm).others]
    for k, notation in enumerate(read):
        some = asked[k :: len(read)]
        for text, said in zip(some, speller.write_all(some, notation.name), strict=True):
            rows.append(row(OTHER, text, said, text, notation, error=error(said, notation.write(text))))
    return rows


def rates(rows: Iterable[Row]) -> dict[str, Rate]:
    """Of each suite that is among the rows: how often it is right."""
    rows = list(rows)
    return {suite: rate_of(some) for suite in SUITES if (some := [row for row in rows if row.suite == suite])}


def error(said: str, right: str) -> float:
    """Characters to insert, delete or replace (Levenshtein's distance), over how many there should be."""
    before = list(range(len(right) + 1))
    for i, a in enumerate(said, 1):
        now = [i]
        for j, b in enumerate(right, 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (a != b)))
        before = now
    return before[-1] / len(right)


def _at_their_places(said: str, text: str) -> list[str]:
    """As many words as the text has; where one is missing, those behind it stand at the wrong place."""
    words, number = said.split(BLANK), len(text.split())
    return [*words, *[""] * number][:number]


def _failure(said: str, right: str, notation: Notation) -> str:
    if said == right:
        return ""
    if not notation.signs.issuperset(said):
        return ELSEWHERE
    return MISSPELT if said.count(BLANK) == right.count(BLANK) else LOST


# ------------------------------------------------------------------------------------------------------------- the grid
def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm with one seed. config: arm, seed, scale, sentences; version, which tells one run from another."""
    speller = learn(config["arm"], config["seed"], Scale(config["scale"]), progress=False)
    rows = examine(speller, config["sentences"])
    keep_rows(folder, rows, config, training_minutes=round(speller.seconds / 60, 2))
    return {"arm": config["arm"], "seed": config["seed"], "rows": len(rows)}


def amounts(scale: Scale) -> dict[str, Any]:
    smoke = scale is Scale.SMOKE
    return {"sentences": 15 if smoke else 150, "seeds": SEEDS[:1] if smoke else SEEDS}


def plan(scale: Scale) -> str:
    much = amounts(scale)
    return (
        f"{len(ARMS)} arms with {len(much['seeds'])} seeds, from nothing: {'; '.join(ARMS)}.\n"
        f"Each is asked for {much['sentences']} new sentences in phonetic alphabet and in other notations, and for the words "
        "of the kitchen alone." + ("" if scale is Scale.SMOKE else " About a minute of a core each.")
    )


def conduct(grid: Grid, scale: Scale) -> None:
    much = amounts(scale)
    about = {"scale": scale.value, "sentences": much["sentences"], "version": VERSION}
    grid.run(f"{__name__}:run", [{"arm": arm, "seed": seed, **about} for seed in much["seeds"] for arm in ARMS])


EXPERIMENT = Experiment("06_alphabet", plan, conduct)
