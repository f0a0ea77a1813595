"""A thought as the trunk writes it, piece by piece, and as it is read back.

    <answer> i see an apple. everybody calls an apple a fruit. fruits belong in the bowl. <subtask> pick up the apple <eos>
    <subtask> pick up the apple <image> <loc041> <loc077> <loc103> <loc020> <eos>
    <subtask> <image> <loc041> <loc077> <loc056> <loc063> <loc072> <loc048> <loc087> <loc034> <loc103> <loc020> <eos>
    <subtask> take the handle of the drawer <memory> open the lid. close the lid. <eos>

Design choices
--------------
* **The first piece says how it is thought**: a chain begins as any answer does, a subtask that comes to mind at once with
  `<subtask>`. Who was taught both can be asked for either, with the same weights. Who is asked for a chain where the words
  leave nothing open has none to say, and goes on to the subtask: `<answer> <subtask> pick up the apple <eos>`.
* A chain is made of sentences such as the web says (π0.5's subtask, arXiv:2504.16054, led up to as in ECoT, arXiv:2407.08693).
* **Where to look** may follow: the object, then the place, in the first camera, in steps of 1/128 of the picture as
  PaliGemma says them (arXiv:2407.07726). What is out of sight is `<unk>`. Or a **trace**, the way from the one to the other
  (MolmoAct, arXiv:2508.07917). Either may be all that is thought: ℓ is then the instruction, and the points say what it means.
* **Memory** comes last: what was done, in words, for the next thought to read (MEM, arXiv:2603.03596). No picture shows it.
* Whatever comes, something is read: a thought without a readable subtask is a chain that came to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pilab.contracts import TOLD, PolicyError, Thought
from pilab.vla.grounding import ROLES
from pilab.vla.tokenizer import LOCATIONS, Tokenizer

CHAIN, SUBTASK, POINTS, UNSEEN, MEMORY = "<answer>", "<subtask>", "<image>", "<unk>", "<memory>"
TRACE = 5  # points of a trace


def write(
    tokenizer: Tokenizer, subtask: str, chain: Sequence[str] = (), points: Mapping[str, Sequence[float]] | None = None,
    memory: str | None = None, trace: Sequence[Sequence[float]] = (), asked: bool = False,
) -> list[int]:  # fmt: skip
    """Pieces from the first to the end piece. points: role → (u, v) in 0 … 1 of the first camera. memory: what is to be
    remembered, perhaps nothing yet; None for who has none. trace: `TRACE` points, from the object to the place, instead of
    them. asked: it begins as a chain does, even where that has no sentence.
    """
    said = [tokenizer.piece(CHAIN), *tokenizer.encode(" ".join(chain))] if chain or asked else []
    said += [tokenizer.piece(SUBTASK), *tokenizer.encode(subtask)]
    if trace:
        said += [tokenizer.piece(POINTS), *(_step(tokenizer, x) for point in trace for x in point)]
    elif points is not None:
        said.append(tokenizer.piece(POINTS))
        for role in ROLES:
            said += [_step(tokenizer, x) for x in points[role]] if role in points else [tokenizer.piece(UNSEEN)]
    if memory is not None:
        said += [tokenizer.piece(MEMORY), *tokenizer.encode(memory)]
    return [*said, tokenizer.eos]


def read(tokenizer: Tokenizer, pieces: Sequence[int], camera: str, length: int = 40) -> Thought:
    """The thought in pieces, from the first to the end piece, if there is one. camera: of its points. length: pieces of a
    subtask that can be acted on.
    """
    pieces = [int(p) for p in pieces]
    pieces = pieces[: pieces.index(tokenizer.eos)] if tokenizer.eos in pieces else pieces
    pieces, kept = _parted(pieces, tokenizer.piece(MEMORY))
    told, pointed = _parted(pieces, tokenizer.piece(POINTS))
    before, after = _parted(told, tokenizer.piece(SUBTASK))
    chain, subtask = tokenizer.decode(before), tokenizer.decode(after)
    if not 0 < len(tokenizer.encode(subtask)) <= length:  # what cannot be read back is no thought
        subtask = ""
    trace = _trace(tokenizer, pointed)
    points = dict(zip(ROLES, (trace[0], trace[-1]), strict=True)) if trace else _points(tokenizer, pointed)
    memory = {TOLD: tokenizer.decode(kept)} if kept else {}
    return Thought(subtask or None, tuple(sentences(chain)), {camera: points} if points else {}, trace, memory=memory)


def begun(thought: Thought) -> tuple[str, ...]:
    """The sentences that a person gave a thought to begin with. Raises `PolicyError` for what is no text."""
    chain = thought.chain if thought.author == "person" and thought.subtask is None else ()
    if wrong := [sentence for sentence in chain if not isinstance(sentence, str)]:
        raise PolicyError(f"a thought that begins with {wrong[0]!r}; expected sentences")
    return tuple(chain)


def told(thought: Thought) -> str:
    """What a thought wants to be remembered. Raises `PolicyError` for what is no text."""
    memory = thought.memory.get(TOLD, "")
    if not isinstance(memory, str):
        raise PolicyError(f"a memory of {memory!r} under {TOLD!r}; expected text")
    return memory


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with its full stop."""
    return [found.strip() for found in re.findall(r"[^.]+\.?", text) if found.strip()]


def _parted(pieces: list[int], at: int) -> tuple[list[int], list[int]]:
    """What stands before a piece, and what behind it; all stands before one that is not there."""
    where = pieces.index(at) if at in pieces else len(pieces)
    return pieces[:where], pieces[where + 1 :]


def _step(tokenizer: Tokenizer, x: float) -> int:
    return tokenizer.piece("<loc000>") + min(int(x * LOCATIONS), LOCATIONS - 1)


def _points(tokenizer: Tokenizer, pieces: Sequence[int]) -> dict[str, tuple[float, float]]:
    """Role → (u, v), the middle of its step; what is no pair of locations is no point, and half a trace is none at all."""
    found, at = {}, 0
    if len(pieces) > 2 * len(ROLES):
        return found
    for role in ROLES:
        point = _point(tokenizer, pieces[at : at + 2])
        if point is not None:
            found[role] = point
        at += 2 if point is not None else 1
    return found


def _trace(tokenizer: Tokenizer, pieces: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """All of its points; what has fewer is none."""
    pairs = [_point(tokenizer, pieces[at : at + 2]) for at in range(0, 2 * TRACE, 2)]
    return () if None in pairs else tuple(pairs)


def _point(tokenizer: Tokenizer, pieces: Sequence[int]) -> tuple[float, float] | None:
    """The middle of a pair of steps; None for what is none."""
    pair = [piece - tokenizer.piece("<loc000>") for piece in pieces]
    if len(pair) != 2 or not all(0 <= x < LOCATIONS for x in pair):
        return None
    return (pair[0] + 0.5) / LOCATIONS, (pair[1] + 0.5) / LOCATIONS


def recalled(tokenizer: Tokenizer, instruction: str, memory: str, length: int, before: int = 0) -> str:
    """As much of a memory as fits beside an instruction in `length` pieces, `before` of which are taken; the oldest goes."""
    kept: list[str] = []
    room = length - before - len(tokenizer.encode(instruction)) - 1
    for sentence in reversed(sentences(memory)):
        room -= len(tokenizer.encode(sentence))
        if room < 0:
            break
        kept.insert(0, sentence)
    return " ".join(kept)
