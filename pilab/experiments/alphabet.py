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

import contextlib
import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from pilab.contracts import PilabError, Row, Scale, UnknownNameError
from pilab.data.web.text import never_asked
from pilab.engine import provenance
from pilab.evaluation.rollout import rate_of
from pilab.evaluation.statistics import Rate
from pilab.evaluation.verdict import SEED
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.training.muon import Muon
from pilab.vla.tokenizer import everyday_words
from pilab.vla.transformer import Cache, Transformer

VERSION = 1  # of what is no part of a config: who changes it makes new runs of all
SEEDS = (0, 1, 2)

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


# ----------------------------------------------------------------------------------------------------------------- arms
@dataclass(frozen=True)
class Arm:
    """What is different, and nothing else is."""

    scrambled: bool = False  # every word of the dictionary has the spelling of another
    shown: bool = False  # phonetic sentences too, as many as of other notations
    running: bool = True  # other notations in sentences; False: they too for single words only
    others: int = len(OTHERS)  # how many other notations there are


DICTIONARY, SCRAMBLED, ONE, THREE, WORDS, SHOWN = (
    "dictionary", "scrambled pairs", "one other notation", "three other notations", "no notation in sentences",
    "sentences shown",
)  # fmt: skip
ARMS: Mapping[str, Arm] = {
    DICTIONARY: Arm(),
    SCRAMBLED: Arm(scrambled=True),
    ONE: Arm(others=1),
    THREE: Arm(others=3),
    WORDS: Arm(running=False),
    SHOWN: Arm(shown=True),
}


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


@cache
def dictionary(arm: str, seed: int) -> Mapping[str, str]:
    """Word → spelling, as an arm is taught it. Scrambled: the same words and the same spellings, and no pair is true."""
    words = lexicon(seed).taught
    spelt = [write(word) for word in words]
    if not find_arm(arm).scrambled:
        return dict(zip(words, spelt, strict=True))
    rng, told = np.random.default_rng([seed, 3]), spelt
    while any(
        a == b for a, b in zip(told, spelt, strict=True)
    ):  # only few orders have homophones at each other's place
        ring = rng.permutation(len(words))
        told = [spelt[k] for k in np.roll(ring, 1)[np.argsort(ring)]]
    return dict(zip(words, told, strict=True))


PLAIN_SHARE, PHONETIC_SHARE, WORD_SHARE = 0.1, 0.25, 0.5  # of texts; and of single words among those with a target


def document(arm: str, seed: int, k: int) -> str:
    """Text k of a seed. All arms draw the same numbers for it, whether or not they need them."""
    about, rng = find_arm(arm), np.random.default_rng([seed, 2, k])
    kind, alone, which = rng.random(3)
    entries, words = dictionary(arm, seed), lexicon(seed)
    entry, word = (group[rng.integers(len(group))] for group in (words.taught, (*words.taught, *words.kept)))
    text = sentence(rng)
    while never_asked(text):
        text = sentence(rng)
    if kind < PLAIN_SHARE:
        return PLAIN + text + END
    if kind < PLAIN_SHARE + PHONETIC_SHARE:
        if about.shown and alone >= WORD_SHARE:
            return PHONETIC.tag + text + ENTRY + write(text) + END
        return PHONETIC.tag + entry + ENTRY + entries[entry] + END
    notation, source = OTHERS[int(which * about.others)], text if about.running and alone >= WORD_SHARE else word
    return notation.tag + source + ENTRY + notation.write(source) + END


# ---------------------------------------------------------------------------------------------------------------- model
CHARACTERS = "".join(
    sorted(
        {BLANK, END, ENTRY, PLAIN, *LETTERS}.union(
            *(
                {n.tag, *"".join((*n.letters.values(), *n.groups.values(), *n.soft.values()))}
                for n in NOTATIONS.values()
            )
        )
    )
)
IDS = {character: i + 1 for i, character in enumerate(CHARACTERS)}  # 0 is nothing: the rest of a row


@dataclass(frozen=True)
class Size:
    """Of the model and its training. A seed of an arm takes some 45 s of one core, a notebook trains three."""

    width: int = 64  # 80 and 96 learnt less in the same time
    heads: int = 4
    layers: int = 3  # so did four, and two wrote worse sentences
    steps: int = 1600
    rows: int = 6  # of characters, in a step
    length: int = 128  # characters of a row, which holds about four texts
    rate: float = 8e-3
    decay: float = 0.2  # of weights; of 0.01 … 0.3 the one with most words of sentences right
    warm: int = 30  # steps of rising rate
    cool: float = 0.4  # the share of steps in which it falls to nothing


def size_of(scale: Scale) -> Size:
    """A GPU does as much as a laptop: there is nothing to gain."""
    return Size(width=32, heads=2, layers=2, steps=30, rows=4, warm=5) if Scale(scale) is Scale.SMOKE else Size()


class Writer(nn.Module):
    """Which character comes next."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(CHARACTERS) + 1, size.width)
        nn.init.normal_(self.characters.weight, std=size.width**-0.5)
        self.trunk = Transformer(size.width, size.heads, size.layers)
        self.next = nn.Linear(size.width, len(CHARACTERS) + 1, bias=False)

    def forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor, context: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """ids, positions (B, T), mask (B, 1, T, C + T) → logits (B, T, characters + 1), and what was added to the cache."""
        h, cache = self.trunk(self.characters(ids), positions, mask, context)
        return self.next(h), cache


@dataclass(frozen=True)
class Window:
    """Rows of whole texts, one behind the other; none sees its neighbours."""

    ids: Tensor  # (B, L + 1) int64
    texts: Tensor  # (B, L + 1) int64: which text of its row, −1 behind the last
    positions: Tensor  # (B, L + 1) float32: since the text began
    counted: Tensor  # (B, L + 1) bool: what is to be written, behind the sign `=` or, without one, the tag


def windows(texts: Iterable[str], rows: int, length: int) -> Iterator[Window]:
    """As many texts as fit into each row, in their order. Raises `PilabError` for one that fits into none."""
    source, waiting = iter(texts), None
    while True:
        ids, which = np.zeros((rows, length + 1), np.int64), np.full((rows, length + 1), -1)
        positions, counted = np.zeros((rows, length + 1), np.float32), np.zeros((rows, length + 1), bool)
        for row in range(rows):
            at = 0
            for number in itertools.count():
                waiting = waiting or next(source)
                if len(waiting) > length + 1:
                    raise PilabError(f"a text of {len(waiting)} characters; a row has {length + 1}, make it longer")
                if at + len(waiting) > length + 1:
                    break
                span = slice(at, at + len(waiting))
                ids[row, span], which[row, span] = [IDS[c] for c in waiting], number
                positions[row, span] = np.arange(len(waiting))
                counted[row, at + max(1, waiting.find(ENTRY) + 1) : span.stop] = True
                at, waiting = span.stop, None
        yield Window(*map(torch.from_numpy, (ids, which, positions, counted)))


def loss(writer: Writer, window: Window) -> Tensor:
    """Mean cross-entropy, in nats a character, of what is counted."""
    before = window.texts[:, :-1]
    length = before.shape[1]
    mask = (before[:, :, None] == before[:, None]) & torch.ones(length, length, dtype=torch.bool).tril()
    logits, _ = writer(window.ids[:, :-1], window.positions[:, :-1], mask[:, None])
    counted = window.counted[:, 1:]
    return F.cross_entropy(logits[counted], window.ids[:, 1:][counted])


def _until_end(ids: Iterable[int]) -> Iterator[str]:
    for k in ids:
        if k in (0, IDS[END]):
            return
        yield CHARACTERS[k - 1]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices this small are not worth sharing between cores, and one thread adds in the same order every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def learn(arm: str, seed: int = 0, scale: Scale | str = Scale.LAPTOP, progress: bool = True) -> Speller:
    """Train one arm from nothing. Equal seeds start from equal weights and read the same texts, but for what the arm changes.

    Raises `UnknownNameError` for an arm that there is not.
    """
    find_arm(arm)
    size, started = size_of(Scale(scale)), time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        writer = Writer(size)
    inner = {id(p) for p in writer.trunk.parameters() if p.ndim > 1}
    groups = [[p for p in writer.parameters() if (id(p) in inner) == muon] for muon in (True, False)]
    optimiser = Muon([{"params": groups[0], "muon": True}, {"params": groups[1]}], size.rate, weight_decay=size.decay)
    read = windows((document(arm, seed, k) for k in itertools.count()), size.rows, size.length)
    losses: list[float] = []
    with _one_thread(), tqdm(total=size.steps, desc=f"{arm} · seed {seed}", disable=not progress) as bar:
        for step, window in zip(range(size.steps), read, strict=False):
            share = min((step + 1) / size.warm, (size.steps - step) / (size.cool * size.steps), 1.0)
            for group in optimiser.param_groups:
                group["lr"] = size.rate * share
            now = loss(writer, window)
            optimiser.zero_grad()
            now.backward()
            optimiser.step()
            losses.append(now.item())
            if step % 25 == 0:
                bar.set_postfix(loss=f"{np.mean(losses[-25:]):.2f}", refresh=False)
            bar.update()
    return Speller(writer.eval(), arm, seed, tuple(losses), time.monotonic() - started)


@dataclass(frozen=True)
class Speller:
    """A trained arm, which writes."""

    writer: Writer
    arm: str
    seed: int
    losses: tuple[float, ...]  # nats a character, of every step
    seconds: float  # its training took

    def write(self, text: str, notation: str = PHONETIC.name) -> str:
        """What it makes of a text, line by line: words of a … z. Raises `PilabError` for others, `UnknownNameError`."""
        written = iter(self.write_all([line for line in text.splitlines() if line], notation))
        return "\n".join(next(written) if line else "" for line in text.splitlines())

    def write_all(self, texts: Sequence[str], notation: str = PHONETIC.name) -> list[str]:
        """Each of them by itself, the likeliest character every time, until it says that this is the end."""
        about, limit = find_notation(notation), 2 * max(map(len, texts), default=0) + 8
        for text in texts:
            about.write(text)  # has every character a sign?
        together = [texts[i : i + 256] for i in range(0, len(texts), 256)]
        with _one_thread(), torch.inference_mode():
            return [s for some in together for s in self._continue([about.tag + t + ENTRY for t in some], limit)]

    def _continue(self, prompts: Sequence[str], limit: int) -> list[str]:
        many, length = len(prompts), max(map(len, prompts))
        ids = torch.zeros(many, length, dtype=torch.long)
        for row, prompt in zip(ids, prompts, strict=True):
            row[length - len(prompt) :] = torch.tensor([IDS[c] for c in prompt])
        there = ids != 0  # (B, T): what is in front of a shorter prompt is nothing, and sees itself alone
        positions = (there.cumsum(1) - 1).float()
        mask = (there[:, None] & torch.ones(length, length, dtype=torch.bool).tril()) | torch.eye(
            length, dtype=torch.bool
        )
        logits, cache = self.writer(ids, positions, mask[:, None])
        written, ended = [], torch.zeros(many, dtype=torch.bool)
        for step in range(1, limit + 1):
            chosen = logits[:, -1].argmax(-1)  # (B,)
            written.append(chosen)
            ended |= (chosen == IDS[END]) | (chosen == 0)
            if ended.all() or step == limit:
                break
            there = torch.cat([there, torch.ones(many, 1, dtype=torch.bool)], 1)
            logits, new = self.writer(chosen[:, None], positions[:, -1:] + step, there[:, None, None], cache)
            cache = [
                tuple(torch.cat(two, 2) for two in zip(old, own, strict=True))
                for old, own in zip(cache, new, strict=True)
            ]
        return ["".join(_until_end(line)) for line in torch.stack(written, 1).tolist()]

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that identify the weights."""
        digest = hashlib.sha256()
        for weight in self.writer.state_dict().values():
            digest.update(weight.numpy().tobytes())
        return digest.hexdigest()[:12]


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
