"""Small models in which every weight counts: as it is built, the expert's output is zero."""

import numpy as np
import pytest
import torch

from pilab.vla.model import VLA, VLAConfig
from pilab.world.bodies import duo


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Two threads add up in another order than one: bits, and small trainings, must not depend on who ran before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_config(body=duo.BODY, **changes):
    return VLAConfig.nano(body, **{"width": 32, "heads": 2, "layers": 2, "channels": 24, **changes})


def lively_model(config, seed=0):
    """Weights by name from numpy's generator: the same whatever builds or initialises the modules."""
    rng = np.random.default_rng(seed)
    model = VLA(config)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            drawn = torch.from_numpy(rng.standard_normal(weight.shape, np.float32))
            if weight.ndim > 1:
                weight.copy_(drawn / weight[0].numel() ** 0.5)
            else:
                weight.copy_(0.1 * drawn + (not name.endswith("bias")))  # the scales of norms are about 1
    return model


@pytest.fixture(scope="session")
def tiny():
    """Call it with a body and changes: a VLAConfig."""
    return tiny_config


@pytest.fixture(scope="session")
def lively():
    """Call it with a config and a seed: a VLA."""
    return lively_model
