"""For tests of trainings: the sample demonstrations, eight pointing scenes and one finished run, with caches of their own."""

from pathlib import Path

import pytest
import torch

from pilab.contracts import Scale
from pilab.data.lerobot import DatasetWriter, LeRobotDataset
from pilab.data.pointing import PointingScenes
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture
from pilab.training.recipes import find_recipe
from pilab.training.train import train
from pilab.vla.model import VLAConfig
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies import duo

SAMPLES = Path(__file__).resolve().parents[1] / "data_samples" / "demonstrations"


@pytest.fixture(scope="session")
def at_home(tmp_path_factory):
    """Call it: a context in which caches are the tests' own, and after which the number of threads is as before."""
    home = tmp_path_factory.mktemp("home")

    class Home:
        def __enter__(self):
            self.patch, self.threads = pytest.MonkeyPatch(), torch.get_num_threads()
            self.patch.setenv("PILAB_HOME", str(home))
            torch.set_num_threads(1)

        def __exit__(self, *_):
            self.patch.undo()
            torch.set_num_threads(self.threads)
            torch.set_flush_denormal(False)

    return Home


@pytest.fixture(scope="session")
def samples() -> str:
    """The folder of 54 episodes over six verbs."""
    return str(SAMPLES)


@pytest.fixture(scope="session")
def smoke():
    """The recipe: four steps, a validation after every second one."""
    return find_recipe("laptop", Scale.SMOKE)


@pytest.fixture(scope="session")
def config(smoke) -> VLAConfig:
    return VLAConfig.nano(duo.BODY, **smoke.model)


@pytest.fixture(scope="session")
def demonstrations(at_home, samples, config) -> Demonstrations:
    with at_home():
        return Demonstrations([samples], config, duo.BODY)


@pytest.fixture(scope="session")
def pictures(at_home) -> PointingScenes:
    with at_home():
        return PointingScenes.open(8, progress=False, workers=1)


@pytest.fixture(scope="session")
def mixture(demonstrations, pictures, smoke) -> Mixture:
    return Mixture(demonstrations, pictures, demonstrations.normaliser(), Tokenizer.default(), smoke.rows, seed=0)


@pytest.fixture(scope="session")
def learn(at_home, smoke, samples, pictures):
    """Call it with a folder: a training on one thread, on the samples unless told otherwise."""

    def run(out, recipe=smoke, data=None, seed=0, **options):
        with at_home():
            return train(recipe, data or [samples], out, seed=seed, progress=False, threads=1, **options)

    return run


@pytest.fixture(scope="session")
def trained(learn, tmp_path_factory):
    """A finished run of the smoke recipe: its folder and its checkpoint. Look, don't touch."""
    out = tmp_path_factory.mktemp("trained")
    return out, learn(out)


PLAIN = ["observation.state", "action", *(f"observation.images.{c.name}" for c in duo.BODY.cameras)]
SENTENCE = "tidy up the table"


@pytest.fixture(scope="session")
def write():
    """Call it with a folder, a number of episodes and further columns: a dataset as a stranger would record it."""

    def dataset(root, episodes=40, length=6, columns=(), per_episode=None):
        source = LeRobotDataset(SAMPLES)
        keys = [*PLAIN, *columns]
        writer = DatasetWriter.create(root, 10, {key: source.features[key] for key in keys})
        long = [source.episode(e, keys) for e in range(4)]
        for i in range(episodes):
            start = length * (i // 4) % 24
            cut = {key: values[start : start + length] for key, values in long[i % 4].items()}
            writer.save_episode(cut, SENTENCE, per_episode(source.episodes[i % 4]) if per_episode else None)
        return str(root)

    return dataset


@pytest.fixture(scope="session")
def own(write, tmp_path_factory) -> str:
    """Forty short episodes with states, actions, pictures and one sentence; nothing else."""
    return write(tmp_path_factory.mktemp("own") / "set")
