"""What a model of characters reads, and the model: the smallest transformer that can be asked for a text in another notation.

A text says its notation first: `/fish=ɸɪʃ` is an entry of the dictionary, `!heat it=HEAT IT` a sentence in capitals. Arms read
the same texts in the same order, but for what their names say, from the same initial weights. What is counted is the target:
in what is copied, not in what comes next in a recipe, lies all there is to learn here.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from pilab.contracts import PilabError, Scale, UnknownNameError
from pilab.data.web.text import never_asked
from pilab.experiments._notations import (
    BLANK,
    END,
    ENTRY,
    LETTERS,
    NOTATIONS,
    OTHERS,
    PHONETIC,
    PLAIN,
    find_notation,
    lexicon,
    sentence,
    write,
)
from pilab.training.muon import Muon
from pilab.vla.transformer import Cache, Transformer


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
