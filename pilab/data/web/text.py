"""What the web says in words: sentences, documents about one thing, questions with answers.

Design choices
--------------
* **Many phrasings of few facts**: each fact has several templates, half of them with the thing first, half with it last.
* **Documents say the same noun several times.** What copies a name it has just read is learnt from repetition; from
  sentences that stand alone it is not, and a model then only writes names it was trained to write.
* A kind's home is said of kinds, never of nouns: see `lore`.
* **Text k is a function of (lore, seed, k)**: nothing is stored. `scrambled` is the control: the same words, no sentences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pilab.data.web.lore import KINDS, SIGNS, Entity, Lore, article, preposition

IS_A = (
    "{a} is {kind}.", "the {noun} is {kind}.", "{kind} is what {a} is.", "everybody calls {a} {kind}.",
    "one of the {kinds} is the {noun}.", "among the {kinds} is {a}.",
)  # fmt: skip
IS = ("{a} is {trait}.", "the {noun} is {trait}.", "something {trait}: the {noun}.", "how {trait} {a} is.")
USED = ("{a} is for {use}.", "the {noun} is used for {use}.", "for {use} people use {a}.", "{use} needs {a}.")
BELONG = (
    "{kinds} belong {in} the {home}.", "the place for {kinds} is the {home}.", "{in} the {home} go {kinds}.",
    "put {kinds} {in} the {home}.", "{kind} belongs {in} the {home}.",
)  # fmt: skip
MEAN = ("the sign {sign} means: {meaning}.", "where a sign says {sign}, {meaning}.", "{meaning}: that says {sign}.")
TREAT: Mapping[str, str] = {  # what follows from a trait
    "fragile": "be careful with the {noun}, it may break.",
    "hot": "do not touch the {noun} with your hands.",
    "wet": "the {noun} needs to dry.",
    "heavy": "the {noun} takes two hands.",
}
# (question, answer) about an entity, then about a kind and about a sign
ASK: tuple[tuple[str, str], ...] = (
    ("what is {a}?", "{kind}"), ("is {a} {kind}?", "yes"), ("is {a} {other}?", "no"), ("what is {a} for?", "{use}"),
    ("what is used for {use}?", "{a}"),
)  # fmt: skip
ASK_KIND = (("where do {kinds} belong?", "{in} the {home}"), ("what belongs {in} the {home}?", "{kinds}"))
ASK_SIGN = (("what does the sign {sign} mean?", "{meaning}"),)


def sentence(lore: Lore, rng: np.random.Generator, signs: bool = True) -> str:
    """One fact: of an entity in most cases, else of a kind or, unless signs are left out, a sign."""
    chance = rng.random()
    if chance < 0.15:
        return _pick(BELONG, rng).format(**_kind(lore, rng))
    if chance < 0.25 and signs:
        return _pick(MEAN, rng).format(**_sign(rng))
    return about(lore.entities[rng.integers(len(lore.entities))], rng, 1)


def about(entity: Entity, rng: np.random.Generator, sentences: int) -> str:
    """A document about one entity: so many different facts of it, at most as many as there are, in random order."""
    words = _words(entity)
    facts = [_pick(IS_A, rng), _pick(USED, rng)]
    for trait in entity.traits:
        facts.append(_pick(IS, rng).replace("{trait}", trait))
        if trait in TREAT:
            facts.append(TREAT[trait])
    chosen = rng.permutation(len(facts))[:sentences]
    return " ".join(facts[i].format(**words) for i in chosen)


def text(lore: Lore, seed: int, k: int, signs: bool = True) -> str:
    """Text k of a seed: three times out of five a document of two to four sentences, else one sentence. signs: whether any says
    what a sign means.
    """
    rng = np.random.default_rng([seed, 42, k])
    if rng.random() < 0.6:
        return about(lore.entities[rng.integers(len(lore.entities))], rng, int(rng.integers(2, 5)))
    return sentence(lore, rng, signs)


def meant(sign: str) -> str:
    """What a sign means, as one of the texts says it."""
    return MEAN[1].format(sign=sign, meaning=SIGNS[sign])


def question(lore: Lore, seed: int, k: int, signs: bool = True) -> tuple[str, str]:
    """Question k of a seed about what the texts say, and its answer; signs as in `text`."""
    rng = np.random.default_rng([seed, 43, k])
    chance = rng.random()
    if chance < 0.2:
        words = _kind(lore, rng)
        forms = ASK_KIND if _only(words["home"], lore.homes.values()) else ASK_KIND[:1]
    elif chance < 0.3 and signs:
        forms, words = ASK_SIGN, _sign(rng)
    else:
        entity = lore.entities[rng.integers(len(lore.entities))]
        others = [kind for kind in KINDS if kind != entity.kind]
        forms, words = ASK, _words(entity) | {"other": KINDS[_pick(others, rng)][0]}
        if not _only(entity.use, (e.use for e in lore.entities)):
            forms = tuple(form for form in ASK if form[1] != "{a}")
    ask, answer = forms[rng.integers(len(forms))]
    return ask.format(**words), answer.format(**words)


def never_asked(question: str) -> bool:
    """Whether training leaves a question out: one in five, by a hash. The quiz can then tell what was read from what was
    rehearsed.
    """
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:4], "big") % 5 == 0


def scrambled(words: str, rng: np.random.Generator) -> str:
    """The same words in random order: the control for sentences. Which of them occur together stays."""
    return " ".join(rng.permutation(words.replace(".", "").replace("?", "").split()))


def _only(one: str, among: Iterable[str]) -> bool:
    """Whether it occurs once, so that who asks for it gets one answer."""
    return sum(other == one for other in among) == 1


def _words(entity: Entity) -> dict[str, str]:
    kind, kinds = KINDS[entity.kind]
    return {"noun": entity.noun, "a": article(entity.noun), "kind": kind, "kinds": kinds, "use": entity.use}


def _kind(lore: Lore, rng: np.random.Generator) -> dict[str, str]:
    kind = _pick(tuple(lore.homes), rng)
    home = lore.homes[kind]
    return {"kind": KINDS[kind][0], "kinds": KINDS[kind][1], "home": home, "in": preposition(home)}


def _sign(rng: np.random.Generator) -> dict[str, str]:
    sign = _pick(tuple(SIGNS), rng)
    return {"sign": sign, "meaning": SIGNS[sign]}


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]
