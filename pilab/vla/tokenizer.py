"""Words to numbers: a sentencepiece model of 4,096 pieces, trained once, with room for every later stage.

Design choices
--------------
* **Trained once and shipped** as `tokenizer.model`, so that checkpoints of different stages speak the same numbers. Its
  training text is frozen in this file and in `everyday_words.txt`, and does not follow the world: a new task brings
  words, never a new tokenizer. `train()` rebuilds the shipped file.
* **Unigram, not BPE**: it drops the pieces that cost least, so whole words stay whole (BPE spends its vocabulary on the
  stumps it merges). Every everyday word is one piece, a word never heard is a few, and bytes spell everything else.
* **Reserved pieces come first and are control symbols**, which no text can produce: typing `<loc000>` gives characters.
  Their ids follow from `RESERVED` alone. Runs are contiguous: location k is `piece("<loc000>") + k`.
* **Case is folded** and Unicode normalised (nmt_nfkc_cf) before anything is looked up.
* **A damaged file never reaches the parser**: the bytes end in their own SHA-256, as a protobuf extension field, which
  sentencepiece itself skips. The file opens in any program that reads sentencepiece models.

Sources: Kudo & Richardson 2018, arXiv:1808.06226 (sentencepiece); Kudo 2018, arXiv:1804.10959 (unigram); Beyer et al.
2024, arXiv:2407.07726 (location pieces, PaliGemma); Pertsch et al. 2025, arXiv:2501.09747 (action codes, FAST).
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import sentencepiece

from pilab.contracts import PilabError, UnknownNameError

SIZE = 4096  # pieces in all: 1,212 reserved, 256 bytes, 2,628 of text
LOCATIONS = 128  # steps along an image's width or height
ACTION_CODES = 1024  # FAST's vocabulary
RESERVED: tuple[str, ...] = (  # the position is the id; what nobody thought of takes a spare
    *("<pad>", "<eos>", "<bos>", "<unk>"),
    *("<task>", "<subtask>", "<memory>", "<state>", "<image>", "<answer>"),
    *(f"<loc{i:03d}>" for i in range(LOCATIONS)),
    *(f"<act{i:04d}>" for i in range(ACTION_CODES)),
    *("<advantage=positive>", "<advantage=negative>"),
    *(f"<quality={i}>" for i in range(1, 6)),
    *(f"<speed={i}>" for i in range(1, 6)),
    *(f"<manner={m}>" for m in ("normal", "slow", "quick", "from-above", "left-handed", "right-handed")),
    *(f"<spare{i:02d}>" for i in range(32)),
)
MODEL = Path(__file__).with_name("tokenizer.model")
EVERYDAY = Path(__file__).with_name("everyday_words.txt")
# What people say to this robot and `everyday_words.txt` lacks: its own terms, and spellings of one country.
ROBOT_WORDS = (
    "center centre color colors colour colours gray grey gripper grippers handover i mom ok okay subtask subtasks "
    "tabletop workspace worktop wye yoyo"
).split()
SEAL = b"\xc2\x0c\x20"  # protobuf: field 200 (the first one free for extensions), 32 bytes follow


class Tokenizer:
    """Text ↔ ids 0 … size - 1. Immutable; travels to other processes."""

    def __init__(self, data: bytes) -> None:
        """`data`: what `to_bytes` gave. Raises `PilabError` for anything else."""
        body, seal = data[: -len(_seal(b""))], data[-len(_seal(b"")) :]
        if not body or seal != _seal(body):
            raise PilabError(
                f"not a tokenizer: {len(data)} bytes that do not end in their own checksum; expected the whole file "
                "that Tokenizer.to_bytes or train() wrote; copy it again, or use Tokenizer.default()"
            )
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=data)
            pieces = [self._model.id_to_piece(i) for i in range(min(self.size, len(RESERVED)))]
        except (RuntimeError, IndexError, UnicodeDecodeError) as error:
            raise PilabError(f"not a sentencepiece model: {error}; use Tokenizer.default()") from error
        if pieces != list(RESERVED):
            raise PilabError(
                f"a tokenizer of {self.size} pieces whose first are not the reserved ones ({', '.join(_families())}); "
                "make one with train()"
            )
        self._data = data

    @classmethod
    @functools.cache
    def default(cls) -> Self:
        """The shipped one."""
        return cls.load(MODEL)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file; raises `PilabError` with the reason."""
        try:
            return cls(Path(path).read_bytes())
        except OSError as error:
            raise PilabError(f"cannot read the tokenizer {str(path)!r}: {error}; or use Tokenizer.default()") from error

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls(data)

    def to_bytes(self) -> bytes:
        """The file: a sentencepiece model, then its checksum."""
        return self._data

    def __reduce__(self) -> tuple[type[Self], tuple[bytes]]:
        return type(self), (self._data,)

    # ----------------------------------------------------------------------------------------------------------- pieces
    @property
    def size(self) -> int:
        """Number of pieces; ids are smaller."""
        return self._model.vocab_size()

    @property
    def pad(self) -> int:
        return self.piece("<pad>")

    @property
    def bos(self) -> int:
        return self.piece("<bos>")

    @property
    def eos(self) -> int:
        return self.piece("<eos>")

    def piece(self, name: str) -> int:
        """The id of a reserved piece, such as `<subtask>` or `<loc007>`; raises `UnknownNameError`."""
        try:
            return _IDS[name]
        except KeyError:
            raise UnknownNameError("reserved piece", name, _families()) from None

    # ------------------------------------------------------------------------------------------------------------- text
    def encode(self, text: str) -> list[int]:
        """The ids of a text; neither <bos> nor <eos> is added, and no reserved piece comes out."""
        return list(self._model.encode(_valid(text)))

    def batch(
        self, texts: Sequence[str], length: int, before: Sequence[Sequence[str]] | None = None,
        memories: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """B texts → ids (B, length) int64, padded with <pad> on the right, and mask (B, length) bool, true on text.

        before: reserved pieces in front of each text. memories: what follows each behind `<memory>`, where it is not empty.
        Raises `PilabError` for more than `length` pieces.
        """
        ids = np.full((len(texts), length), self.pad, np.int64)
        mask = np.zeros((len(texts), length), bool)
        for row, text in enumerate(texts):
            pieces = [self.piece(name) for name in before[row]] if before is not None else []
            pieces += self.encode(text)
            if memories is not None and memories[row]:
                pieces += [self.piece("<memory>"), *self.encode(memories[row])]
            if len(pieces) > length:
                raise PilabError(
                    f"{text!r} is {len(pieces)} pieces long ({' '.join(map(self._model.id_to_piece, pieces))}); "
                    f"expected at most {length}; say it in fewer words, or raise the length"
                )
            ids[row, : len(pieces)], mask[row, : len(pieces)] = pieces, True
        return ids, mask

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids (any integers, such as a row of an array); reserved pieces are left out.

        `decode(encode(text)) == normalise(text)`. Bytes that are no UTF-8 become U+FFFD.
        """
        numbers = [int(i) for i in ids]
        if wrong := [i for i in numbers if not 0 <= i < self.size]:
            raise PilabError(f"{wrong[0]} is no piece; expected ids 0 … {self.size - 1}")
        return self._model.decode([i for i in numbers if i >= len(RESERVED)])

    def normalise(self, text: str) -> str:
        """What the model reads of a text: case folded, Unicode normalised, single blanks."""
        return self._model.normalize(_valid(text)).replace("▁", " ").removeprefix(" ")

    def words(self, text: str) -> list[str]:
        """The normalised words, in order: letters and digits, apostrophes inside; hyphens part words."""
        return re.findall(r"[^\W_]+(?:'[^\W_]+)*", self.normalise(text).replace("’", "'"))

    def unseen(self, text: str, seen: Collection[str]) -> list[str]:
        """The words of `text` that are not among `seen` (as `words` gives them), each once, in order."""
        return [word for word in dict.fromkeys(self.words(text)) if word not in seen]


_IDS = {name: i for i, name in enumerate(RESERVED)}


def manner_piece(manner: str) -> str:
    """The reserved piece for a manner of doing things, such as "from above"."""
    return f"<manner={manner.replace(' ', '-')}>"


def _families() -> list[str]:
    """The reserved pieces, runs abridged."""
    short = []
    for _, run in itertools.groupby(RESERVED, lambda name: re.sub(r"\d", "", name)):
        first, *rest = run
        short.append(f"{first} … {rest[-1]}" if rest else first)
    return short


def _seal(body: bytes) -> bytes:
    return SEAL + hashlib.sha256(body).digest()


def _valid(text: str) -> str:
    """The text, if it can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PilabError(f"{text!r} is no Unicode text: {error.reason}; leave half characters out") from error
    return text


# ------------------------------------------------------------------------------------------------------------- training
def everyday_words() -> list[str]:
    """The shipped list."""
    return [line for line in EVERYDAY.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def train(words: Iterable[str] | None = None) -> bytes:
    """A tokenizer file with the same reserved pieces; by default the shipped one, again.

    words: what to keep whole, instead of the shipped words; raises `PilabError` where they cannot fill the vocabulary.
    """
    whole = [*everyday_words(), *ROBOT_WORDS] if words is None else list(words)
    if wrong := [w for w in whole if w.split() != [w]]:
        raise PilabError(f"cannot train on {wrong[0]!r}; expected single words without blanks")
    file = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_corpus(whole),
            input_format="tsv",  # text, tab, how often
            model_writer=file,
            model_type="unigram",
            vocab_size=SIZE,
            normalization_rule_name="nmt_nfkc_cf",
            byte_fallback=True,
            split_digits=True,  # numbers are spelled: the model learns ten digits, not a thousand numbers
            character_coverage=1.0,
            required_chars="".join(c for c in map(chr, range(33, 127)) if not c.isupper()),
            **{f"{name[1:-1]}_id": i for i, name in enumerate(RESERVED[:4])},
            **{f"{name[1:-1]}_piece": name for name in RESERVED[:4]},
            control_symbols=list(RESERVED[4:]),
            num_threads=1,  # sums in one order, so that the file is the same every time
            minloglevel=2,
        )
    except RuntimeError as error:
        raise PilabError(f"cannot train a tokenizer on {len(whole)} words: {error}; bring more words") from error
    return file.getvalue() + _seal(file.getvalue())


def _corpus(whole: Sequence[str]) -> Iterator[str]:
    """Lines of text and how often each counts.

    A string is a candidate for a piece only where it is seen with two different neighbours, hence the word twice; what
    stands alone lends its parts. Words that shall be whole outweigh the rest a thousandfold.
    """
    yield from (f"{word} {word}.\t1000" for word in whole)
    # Endings, so that an unlisted form is a listed word and its ending.
    yield from (f"{w}{e}\t1" for e in ("s", "ing", "ed", "er", "est", "ly", "ness") for w in whole if len(w) > 3)
    # Nonsense, so that an invented noun is its syllables: every 17th of all words built as `zobax` is.
    onsets, vowels, codas = "bdfgjklmnprstvwz", "aeiou", "bdfgklmnpx"
    nonsense = itertools.product(onsets, vowels, onsets, vowels, codas)
    yield from (f"{''.join(letters)}\t30" for letters in itertools.islice(nonsense, 0, None, 17))


if __name__ == "__main__":
    MODEL.write_bytes(train())
    print(f"wrote {MODEL}: {Tokenizer.load(MODEL).size} pieces, {MODEL.stat().st_size} bytes")
