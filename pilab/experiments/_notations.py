"""Notations, the words of a kitchen and a dictionary: what there is to write, and how it is written.

A notation has signs for letters and for groups of letters. No sign of the phonetic alphabet is part of another notation. The
dictionary has some 2400 words; a part of the kitchen's is never in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from pilab.contracts import PilabError, UnknownNameError
from pilab.data.web.text import never_asked
from pilab.vla.tokenizer import everyday_words

# ------------------------------------------------------------------------------------------------------------ notations
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ENTRY, END, BLANK = "=", "\n", " "  # between source and target, behind a text, between words


@dataclass(frozen=True)
class Notation:
    """A way to write words: signs for letters, and for groups of letters, which come first. Blanks stay."""

    name: str
    tag: str  # the character in front of its texts
    letters: Mapping[str, str]
    groups: Mapping[str, str] = field(default_factory=dict)
    soft: Mapping[str, str] = field(default_factory=dict)  # signs of letters that stand before e, i or y

    @cached_property
    def signs(self) -> frozenset[str]:
        """All that a text in it consists of."""
        return frozenset(BLANK).union(*self.letters.values(), *self.groups.values(), *self.soft.values())

    def parts(self, word: str) -> list[tuple[str, str]]:
        """Of a word: which letters, and their signs. Raises `PilabError` for what has no sign."""
        found, i = [], 0
        while i < len(word):
            part = next((group for group in self.groups if word.startswith(group, i)), word[i])
            i += len(part)
            if part in self.soft and word[i : i + 1] in ("e", "i", "y"):
                found.append((part, self.soft[part]))
            elif part in self.groups:
                found.append((part, self.groups[part]))
            elif part in self.letters:
                found.append((part, self.letters[part]))
            else:
                raise PilabError(
                    f"{part!r} in {word!r} has no sign; expected words of a … z, without stops or capitals"
                )
        return found

    def write(self, text: str) -> str:
        """Words in this notation: `PHONETIC.write("fish")` → ɸɪʃ."""
        return BLANK.join("".join(signs for _, signs in self.parts(word)) for word in text.split(BLANK))


_SINGLE = dict(zip(LETTERS, "æβκðɛɸɡħɪʝκɫɱɲɔπɋɹʂʈʊʋʍχʏʐ", strict=True))  # c and k sound alike, x has two signs
_GROUPS = {"sh": "ʃ", "th": "θ", "ch": "ʈʃ", "ck": "κ", "ng": "ŋ", "oo": "ʊː", "ee": "ɪː", "qu": "κʍ"}
PHONETIC = Notation(
    "phonetic", "/", {**_SINGLE, "x": "κʂ"},
    {**_GROUPS, **{2 * letter: _SINGLE[letter] for letter in "bdfglmnprstz"}},  # a double letter sounds once
    {"c": "ʂ", "g": "ʒ"},
)  # fmt: skip
PLAIN = "."  # the tag of running text that is in no other notation


def _foreign(k: int, name: str, tag: str, first: int) -> Notation:
    """An alphabet from a code point on, in which half of the groups below have a sign of their own, some of them two."""
    groups = [g for j, g in enumerate(("sh", "th", "ch", "ck", "oo", "ee", "ng", "st")) if (j + k // 2) % 2 == k % 2]
    signs = {group: chr(first + 26 + j) * (2 if (j + k) % 3 == 0 else 1) for j, group in enumerate(groups)}
    return Notation(name, tag, {letter: chr(first + i) for i, letter in enumerate(LETTERS)}, signs)


# Alphabets that most screens can show, written from left to right, and without Greek, of which the phonetic one has signs.
OTHERS = (
    Notation("capitals", "!", {letter: letter.upper() for letter in LETTERS}),
    *(
        _foreign(k, name, tag, first)
        for k, (name, tag, first) in enumerate((
            ("circled", "#", 0x24D0), ("cyrillic", "$", 0x430), ("runic", "%", 0x16A0), ("braille", "&", 0x2801),
            ("hiragana", "*", 0x3041), ("armenian", "+", 0x561), ("georgian", "<", 0x10D0), ("katakana", ">", 0x30A1),
            ("hangul", "?", 0x3131), ("cherokee", "@", 0x13A0), ("bopomofo", "^", 0x3105), ("wide", "~", 0xFF41),
        ))
    ),
)  # fmt: skip
NOTATIONS: Mapping[str, Notation] = {notation.name: notation for notation in (PHONETIC, *OTHERS)}


def write(text: str) -> str:
    """In phonetic alphabet, as it should be."""
    return PHONETIC.write(text)


def find_notation(name: str) -> Notation:
    if name not in NOTATIONS:
        raise UnknownNameError("notation", name, list(NOTATIONS))
    return NOTATIONS[name]


# ---------------------------------------------------------------------------------------------------- words and sentences
FUNCTION = "a and for from in into is it of or over put serve take the then until when with minutes".split()
SLOTS: Mapping[str, tuple[str, ...]] = {
    name: tuple(dict.fromkeys(words.split()))
    for name, words in {
        "do": """bake beat blend boil brush chill chop cook cool cover crush cut dip drain drizzle dry fold freeze fry grate
            grill grind heat knead mash measure melt mix peel pickle pour press rinse roast roll scatter season simmer slice
            smoke soak spread squeeze steam stir stuff taste toast toss trim warm wash weigh whisk""",
        "food": """almond apple artichoke bacon banana barley basil bean beef beet berry bread broth butter cabbage carrot
            cashew celery cheese cherry chicken chickpea chocolate cinnamon cocoa coffee corn cream cucumber date dill dough
            egg eggplant fig fish flour garlic ginger grape gravy ham honey jam jelly juice leek lemon lentil lettuce lime
            mango melon milk mint mushroom mustard noodle nutmeg oat olive onion orange parsley pasta pea peach peanut pear
            pepper plum potato pumpkin quince radish raisin rice sage salmon salt sausage shrimp spinach squash sugar syrup
            tea thyme tofu tomato tuna turkey vanilla vinegar walnut yeast yogurt zucchini""",
        "dish": """barrel basket blender board bottle bowl box bucket cooker cup dish fork freezer fridge glass grater jar jug
            kettle knife ladle mixer mug oven pan plate pot sieve skillet spoon stove tin toaster tray wok""",
        "so": """big bitter black brown clean cold cool creamy crisp deep dry fluffy fresh frozen golden green hard heavy hot
            juicy large plain quick raw red rich ripe salty shallow small smooth soft sour spicy sticky sweet tender thick
            thin tiny warm white whole yellow""",
        "how": "evenly gently lightly often quickly slowly twice well",
        "many": "two three four five six seven eight nine ten twenty thirty",
    }.items()
}  # fmt: skip
FORMS = (
    "{do} the {so} {food}", "{do} the {food} and {food}", "{do} it with the {dish}", "{how} {do} the {food}",
    "put {food} into the {dish}", "{do} it until it is {so}", "serve it with {so} {food}", "when it is {so} {do} it",
    "take a {dish} of {food}", "{do} {food} or {food}", "{do} {food} over the {food}", "{do} {many} {so} {food}",
    "then {do} for {many} minutes", "{do} the {food} in a {dish}", "take {so} {food} from the {dish}",
)  # fmt: skip
KITCHEN = tuple(dict.fromkeys(itertools.chain(FUNCTION, *SLOTS.values())))
LONGEST = 10  # letters of a word; longer ones would take the room of several others


def sentence(rng: np.random.Generator) -> str:
    """One step of a recipe, in small letters and without stops."""
    words = FORMS[rng.integers(len(FORMS))].split()
    slots = [SLOTS.get(word.strip("{}"), (word,)) for word in words]
    return BLANK.join(slot[rng.integers(len(slot))] for slot in slots)


def new_sentences(number: int, seed: int) -> list[str]:
    """So many different ones that no training has read."""
    rng, found = np.random.default_rng([seed, 5]), {}
    while len(found) < number:
        if never_asked(said := sentence(rng)):
            found[said] = None
    return list(found)


@dataclass(frozen=True)
class Lexicon:
    """Which words are in the dictionary. They depend on the seed alone."""

    taught: tuple[str, ...]
    kept: tuple[str, ...]  # words of the kitchen that are not, nor any that begins with one of them


@cache
def lexicon(seed: int) -> Lexicon:
    """One word in five of those a sentence can choose is kept back, unless the dictionary would then lack what spells it."""
    kitchen = [word for word in KITCHEN if word not in FUNCTION]
    chosen = np.random.default_rng([seed, 1]).permutation(kitchen)[: len(kitchen) // 5].tolist()
    everyday = [w for w in everyday_words() if len(w) <= LONGEST and set(w) <= set(LETTERS)]
    taught = [w for w in dict.fromkeys((*KITCHEN, *everyday)) if not w.startswith(tuple(chosen))]
    known = {part for word in (*taught, *FUNCTION) for part in PHONETIC.parts(word)}
    back = [word for word in chosen if not known.issuperset(PHONETIC.parts(word))]
    taught = tuple(dict.fromkeys((*FUNCTION, *back, *taught)))
    return Lexicon(taught, tuple(word for word in KITCHEN if word not in taught))
