"""A checkpoint is a folder that can be read with nothing but a text editor and a safetensors reader.

    config.json          the VLAConfig, the format's version, the words seen in training, how the policy is to be driven
    model.safetensors    the weights (fp16 when shipped)
    statistics.safetensors   normalisation
    tokenizer.model      sentencepiece
    fast.json            tokens for chunks of actions, where the trunk learnt to write them
    README.md            the card

Nothing is unpickled: whatever bytes are found are parsed, and refused with a reason when they do not fit.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from pilab.contracts import PilabError, PolicyError
from pilab.vla.actions import Normaliser, find_space
from pilab.vla.fast import FastTokenizer
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.tokenizer import Tokenizer
from pilab.world.scenes import find_body

VERSION = 1
CONFIG, WEIGHTS, STATISTICS, TOKENIZER, FAST, CARD = (
    "config.json", "model.safetensors", "statistics.safetensors", "tokenizer.model", "fast.json", "README.md",
)  # fmt: skip


@dataclass(frozen=True)
class Driving:
    """How the policy was found to act best."""

    replan_interval: int = 6  # control steps executed of each chunk; 2 to 8 did alike, 1 worse (notebook 00)
    think_interval: int = 10  # control steps between two thoughts
    thinks: bool = True  # False: acts on the instruction alone
    chain: bool = False  # thinks in single hops, where the words leave something open; False: the subtask at once
    literal: bool = (
        False  # where there was nothing to infer and it sees what was named, it acts on the words as they are
    )
    remembers: bool = False  # each thought reads what the one before it wanted to be remembered
    temperature: float = 1.0  # spread of the noise that a chunk begins with; at 0, the same sight is the same chunk
    before: tuple[str, ...] = ()  # reserved pieces in front of what it is told, such as <quality=5>


@dataclass
class Checkpoint:
    """A trained model with everything that is needed to run it."""

    model: VLA
    normaliser: Normaliser
    tokenizer: Tokenizer
    words: frozenset[str]  # seen in training
    driving: Driving = Driving()
    origin: dict[str, object] | None = None  # recipe, data, commit, minutes: what the card tells
    hash: str = ""  # 12 hexadecimal digits of the weights, once saved or loaded
    fast: FastTokenizer | None = None  # None: it writes no actions

    def save(self, folder: str | Path, half: bool = False) -> Path:
        """Write the folder; config.json comes last, so that a folder without one is unfinished. half: weights in fp16."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        dtype = torch.float16 if half else torch.float32
        weights = {k: v.detach().to("cpu", dtype).contiguous() for k, v in self.model.state_dict().items()}
        data = save_tensors(weights)
        self.hash = _digest(data)
        _write(folder / WEIGHTS, data)
        _write(
            folder / STATISTICS,
            save_arrays({k: np.ascontiguousarray(v) for k, v in self.normaliser.to_arrays().items()}),
        )
        _write(folder / TOKENIZER, self.tokenizer.to_bytes())
        if self.fast is not None:
            _write(folder / FAST, self.fast.to_json().encode())
        body = {
            "version": VERSION, "weights": self.hash, "model": self.model.config.to_json(), "driving": asdict(self.driving),
            "fast": self.fast is not None, "origin": self.origin or {}, "words": sorted(self.words),
        }  # fmt: skip
        _write(folder / CONFIG, json.dumps(body, indent=1).encode())
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Checkpoint:
        """Raises `PolicyError` where the folder is not a checkpoint, is damaged, or is of another version."""
        folder = Path(folder)
        try:
            return cls._parse(folder)
        except FileNotFoundError as error:
            missing = Path(error.filename).name
            raise PolicyError(f"{folder} is not a checkpoint: {missing} is missing; `pilab train` makes one") from error
        except UNREADABLE as error:
            raise PolicyError(f"{folder} is damaged or not a checkpoint: {error}; copy or train it again") from error

    @classmethod
    def _parse(cls, folder: Path) -> Checkpoint:
        body = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if body["version"] != VERSION:
            raise PolicyError(f"it is of version {body['version']}, and this pilab reads version {VERSION}")
        data = (folder / WEIGHTS).read_bytes()
        if _digest(data) != body["weights"]:
            raise PolicyError(f"{WEIGHTS} is not the file that {CONFIG} was written with")
        config = VLAConfig.from_json(body["model"])
        model = VLA(config)
        try:
            model.load_state_dict({k: v.float() for k, v in load_tensors(data).items()})
        except RuntimeError as error:  # a line for every tensor: the first one says enough
            raise PolicyError(f"the weights do not fit {CONFIG}: {str(error).splitlines()[1].strip()}") from error
        if bad := [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]:
            raise PolicyError(f"the weights {bad[0]} are not finite")
        normaliser = Normaliser.from_arrays(load_arrays((folder / STATISTICS).read_bytes()))
        inside = find_space(config.action_space).size(find_body(config.body))
        normaliser.check(config.horizon, inside)
        fast = FastTokenizer.from_json((folder / FAST).read_text(encoding="utf-8")) if body.get("fast") else None
        if fast is not None and (fast.horizon, len(fast.low)) != (config.horizon, inside):
            raise PolicyError(
                f"{FAST} is for chunks ({fast.horizon}, {len(fast.low)}); expected ({config.horizon}, {inside})"
            )
        tokenizer = Tokenizer.load(folder / TOKENIZER)
        driving = Driving(**{**body["driving"], "before": tuple(body["driving"].get("before", ()))})
        for piece in driving.before:
            tokenizer.piece(piece)
        return cls(
            model.eval(), normaliser, tokenizer, frozenset(map(str, body["words"])),
            driving, dict(body["origin"]), body["weights"], fast,
        )  # fmt: skip


# What reading bytes of unknown origin may raise: they are parsed by json, safetensors, sentencepiece and torch.
UNREADABLE = (
    OSError, SafetensorError, PilabError, AttributeError, KeyError, TypeError, ValueError, RuntimeError, RecursionError,
)  # fmt: skip


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)
