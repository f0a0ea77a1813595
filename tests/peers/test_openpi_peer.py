"""The real openpi-client asks our server, and our client asks a server that has its encoder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pilab.contracts import NOISE, STATE, TASK, Policy, Thought, image_key
from pilab.robots.bridges import wire
from pilab.robots.bridges.aloha import crop, letterbox
from pilab.robots.bridges.openpi import PolicyServer, RemotePolicy
from pilab.world.scenes import find_body
from tests.peers.make_environment import python_of

PYTHON, SIDE, BODY = python_of("openpi"), Path(__file__).with_name("openpi_side.py"), find_body("duo")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no {PYTHON}; make it with tests/peers/make_environment.py"),
]
TOKEN = "open-sesame"


class Average(Policy):
    """State, noise that is not there, and how bright the base camera's picture is."""

    cameras = ("base", "right_wrist")

    def act(self, observation, thought):
        assert NOISE not in observation and list(observation[TASK]) == ["put the apple in the bowl"]
        bright = [int(image.sum()) for image in observation[image_key("base")]]
        chunk = np.repeat(observation[STATE][:, None], 6, axis=1)
        return chunk + np.arange(6)[:, None] + np.array(bright)[:, None, None] / 1e6


def test_the_client_asks_our_server(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "arrays.npz"
    pictures, states = rng.integers(0, 256, (2, 120, 160, 3), np.uint8), rng.random((2, 14), np.float32)
    np.savez(path, pictures=pictures, states=states)
    with PolicyServer(Average(), port=0, token=TOKEN) as server:
        command = [str(PYTHON), str(SIDE), "ask", "127.0.0.1", str(server.port), TOKEN, str(path)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        metadata = server.metadata
    assert run.returncode == 0, run.stderr[-3000:]
    said, rest = json.loads(run.stdout)
    assert said == metadata and set(rest) == {"policy_timing", "server_timing"}
    out = np.load(path)
    assert out["golden"].tobytes() == wire.pack({"observation/state": np.arange(3, dtype=np.float32)})
    np.testing.assert_array_equal(out["pictures"], [letterbox(picture, 224) for picture in pictures])
    for i in range(2):
        observation = {STATE: states[i][None], TASK: ["put the apple in the bowl"]}
        observation[image_key("base")] = crop(letterbox(pictures[i], 224), 96, 128)[None]
        np.testing.assert_array_equal(out["actions"][i], Average().act(observation, [Thought()])[0])
    assert "(3,); expected numbers (14,)" in str(out["error"])
    np.testing.assert_array_equal(out["again"], out["actions"][0])
    np.testing.assert_array_equal(out["broken_up"], out["actions"][0])


def test_our_client_asks_a_server_of_theirs(tmp_path):
    path = tmp_path / "asked.npz"
    with subprocess.Popen([str(PYTHON), str(SIDE), "serve", str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            remote = RemotePolicy(f"127.0.0.1:{int(process.stdout.readline())}")
            state = np.linspace(0, 1, 14, dtype=np.float32)
            picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
            observation = {STATE: state[None], TASK: ["put"], image_key("base"): picture[None]}
            chunk = remote.act(observation, [Thought("reach")])
            remote.close()
        finally:
            process.kill()
    np.testing.assert_array_equal(chunk[0], state + np.arange(5, dtype=np.float32)[:, None])
    asked = np.load(path)
    assert set(asked) == {"state", "prompt", "cam_high"} and asked["prompt"] == "reach"
    np.testing.assert_array_equal(asked["cam_high"], letterbox(picture, 224).transpose(2, 0, 1))
