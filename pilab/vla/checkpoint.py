"""A checkpoint is a folder that can be read with nothing but a text editor and a safetensors reader.

    config.json          the VLAConfig, the format's version, the words seen in training, how the policy is to be driven
    model.safetensors    the weights (fp16 when shipped)
    statistics.safetensors   normalisation
    tokenizer.model      sentencepiece
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
from pilab.vla.actions import Normaliser
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.tokenizer import Tokenizer

VERSION = 1
CONFIG, WEIGHTS, STATISTICS, TOKENIZER, CARD = (
    "config.json", "model.safetensors", "statistics.safetensors", "tokenizer.model", "README.md",
)  # fmt: skip


@dataclass(frozen=True)
class Driving:
    """How the policy was found to act best."""

    replan_interval: int = 4  # control steps executed of each chunk
    think_interval: int = 10  # control steps between two thoughts
    thinks: bool = True  # False: acts on the instruction alone


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
        body = {
            "version": VERSION, "model": self.model.config.to_json(), "driving": asdict(self.driving),
            "origin": self.origin or {}, "words": sorted(self.words),
        }  # fmt: skip
        _write(folder / CONFIG, json.dumps(body, indent=1).encode())
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Checkpoint:
        """Raises `PolicyError` where the folder is not a checkpoint, is damaged, or is of another version."""
        folder = Path(folder)
        try:
            body = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            if body["version"] != VERSION:
                raise PolicyError(
                    f"{folder} is a checkpoint of version {body['version']}; this pilab reads version {VERSION}: train it again"
                )
            data = (folder / WEIGHTS).read_bytes()
            weights = {k: v.float() for k, v in load_tensors(data).items()}
            statistics = load_arrays((folder / STATISTICS).read_bytes())
            tokenizer = Tokenizer.load(folder / TOKENIZER)
            driving, words = Driving(**body["driving"]), frozenset(map(str, body["words"]))
            config = VLAConfig.from_json(body["model"])
        except PolicyError:
            raise
        except FileNotFoundError as error:
            raise PolicyError(
                f"{folder} is not a checkpoint: {Path(error.filename).name} is missing; `pilab train` makes one"
            ) from error
        except (OSError, SafetensorError, PilabError, KeyError, TypeError, ValueError) as error:
            raise PolicyError(f"{folder} is damaged or not a checkpoint: {error}; copy or train it again") from error
        model = VLA(config)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise PolicyError(
                f"the weights in {folder} do not fit its {CONFIG}: {str(error).splitlines()[1].strip()}; copy it again"
            ) from error
        return cls(
            model.eval(),
            Normaliser.from_arrays(statistics),
            tokenizer,
            words,
            driving,
            body.get("origin", {}),
            _digest(data),
        )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)
