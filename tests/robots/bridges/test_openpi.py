"""The bridge to openpi: a server that strangers and mistakes cannot stop, and a client that is as good as being there."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from pilab import __version__, cli
from pilab.contracts import NOISE, STATE, TASK, PilabError, Policy, PolicyError, Thought, image_key
from pilab.evaluation.rollout import make_policy
from pilab.robots.bridges import openpi, wire
from pilab.robots.bridges.aloha import crop, letterbox, read_observation, to_aloha
from pilab.robots.bridges.openpi import PolicyServer, RemotePolicy
from pilab.robots.executor import Executor
from pilab.robots.policies import Hold
from pilab.world.demonstrators import Demonstrator
from pilab.world.scenes import find_body

BODY = find_body("duo")
BASE, WRIST = image_key("base"), image_key("left_wrist")
PATIENCE = 60  # s: when to give up, never how long to wait


class Fake(Policy):
    """Actions that depend on everything it is told, thoughts that count."""

    cameras = ("base", "left_wrist")
    noise_shape = (4, BODY.size)
    think_interval = 3
    replan_interval = 2
    fingerprint = "0123456789ab"

    def think(self, observation, previous):
        counts = [t.memory.get("n", 0) + 1 for t in previous]
        return [
            Thought(f"{task} {n}", (task, str(n)), {"base": {"object": (0.5, 0.25)}}, ((0.0, 1.0),), memory={"n": n})
            for task, n in zip(observation[TASK], counts, strict=True)
        ]

    def act(self, observation, thought):
        seen = [int(observation[k][i].sum()) for i in range(len(thought)) for k in (BASE, WRIST)]
        heard = [sum(map(ord, t.subtask or task)) for t, task in zip(thought, observation[TASK], strict=True)]
        told = np.array(seen).reshape(-1, 2).sum(1) + np.array(heard)
        return observation[STATE][:, None] + observation[NOISE] + (told % 97)[:, None, None]


class Gate(Hold):
    """Infers for as long as the test wants."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()

    def act(self, observation, thought):
        self.entered.set()
        assert self.open.wait(PATIENCE)
        return super().act(observation, thought)


class Broken(Hold):
    """Fails as the instruction says."""

    def act(self, observation, thought):
        (task,) = observation[TASK]
        if task == "NaN":
            return np.full((1, 2, BODY.size), np.nan)
        if task != "work":
            raise {"divide": ZeroDivisionError, "stop": StopIteration}[task]("/secret/place")
        return super().act(observation, thought)


def look(seed=0, task="put the apple in the bowl"):
    rng = np.random.default_rng(seed)
    images = {image_key(c.name): rng.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in BODY.cameras}
    return {STATE: rng.normal(size=BODY.size).astype(np.float32), TASK: task, **images}


@contextmanager
def client(server, **options):
    """A stranger's connection, after the server has spoken."""
    with connect(server.url, compression=None, max_size=None, proxy=None, **options) as there:
        there.metadata = wire.unpack(there.recv(PATIENCE))
        yield there


def ask(there, message) -> dict | str:
    there.send(message if isinstance(message, bytes | str) else wire.pack(message))
    answer = there.recv(PATIENCE)
    return answer if isinstance(answer, str) else wire.unpack(answer)


def health(server) -> tuple[int, bytes]:
    line = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    try:
        line.request("GET", "/healthz")
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


# ------------------------------------------------------------------------------------------------------------ the server
def test_the_server_speaks_first_and_says_what_it_is():
    with PolicyServer(Fake(), port=0) as server, client(server) as there:
        about = there.metadata
    assert about["pilab"] == __version__ and about["checkpoint"] == Fake.fingerprint and about["body"] == "duo"
    assert (about["action_horizon"], about["action_dim"], about["state_dim"], about["hz"]) == (4, 14, 14, 10)
    assert about["cameras"] == {"base": [96, 128], "left_wrist": [48, 48]}
    json.dumps(about)


def test_an_answer_has_openpis_keys():
    with PolicyServer(Fake(), port=0) as server, client(server) as there:
        first, second = ask(there, to_aloha(look(), "put")), ask(there, look())
    assert set(first) == set(second) == {"actions", "policy_timing", "server_timing"}
    assert first["actions"].shape == (4, 14) and first["actions"].dtype.kind == "f"
    assert set(first["policy_timing"]) == set(first["server_timing"]) == {"infer_ms"}
    assert set(second["server_timing"]) == {"infer_ms", "prev_total_ms"}


def test_a_connection_has_noise_and_thoughts_of_its_own():
    def drive():
        with PolicyServer(Fake(), port=0) as server, client(server) as one, client(server) as two:
            order = [one, two, one, one, two, one]
            tasks = ["put", "put", "put", "push", "put", "push"]
            return [ask(c, look(task=task))["actions"] for c, task in zip(order, tasks, strict=True)]

    chunks = drive()
    np.testing.assert_array_equal(chunks, drive())  # whoever connects n-th
    local = Executor(Fake(), BODY, arm="server")
    episodes = [local.begin("put", 0), local.begin("put", 1)]
    for i, (who, task) in enumerate(zip((0, 1, 0, 0, 1, 0), ("put", "put", "put", "push", "put", "push"), strict=True)):
        if episodes[who].task != task:
            local.instruct(episodes[who], task)
        seen = {k: v for k, v in look().items() if k in (STATE, BASE, WRIST)}
        np.testing.assert_array_equal(chunks[i], local.chunk(episodes[who], seen))


def test_a_slow_inference_blocks_nobody():
    policy = Gate()
    with PolicyServer(policy, port=0) as server, client(server) as slow, client(server) as waiting:
        slow.send(wire.pack(look(1)))
        assert policy.entered.wait(PATIENCE)
        assert health(server) == (200, b"OK\n")
        with client(server) as late:  # the handshake, and the server's first words
            assert late.metadata["policy"] == "Gate"
        assert slow.ping().wait(PATIENCE) and waiting.ping().wait(PATIENCE)
        waiting.send(wire.pack(look(2)))
        policy.open.set()
        for there, seed in ((slow, 1), (waiting, 2)):
            np.testing.assert_array_equal(wire.unpack(there.recv(PATIENCE))["actions"], look(seed)[STATE][None])


def test_a_client_that_answers_no_ping_is_not_dropped(monkeypatch):
    monkeypatch.setattr(openpi, "PINGS", {**openpi.PINGS, "ping_interval": 0.01})
    with PolicyServer(Hold(), port=0) as server, socket.create_connection((server.host, server.port), PATIENCE) as line:
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        line.sendall(f"GET / HTTP/1.1\r\nHost: {server.host}\r\n{upgrade}{key}\r\n\r\n".encode())
        came = line.recv(4096)
        while came.count(b"\x89\x04") < 3:  # pings; with a time-out the second would wait for the answer to the first
            came += line.recv(4096)
        request = wire.pack({STATE: look()[STATE], TASK: "stay"})
        line.sendall(b"\x82\xfe" + len(request).to_bytes(2, "big") + b"\0\0\0\0" + request)
        while b"actions" not in came:
            came += line.recv(4096)


def bad(**changes):
    return {key: value for key, value in {**look(), **changes}.items() if value is not None}


def aloha(**changes):
    return {**to_aloha(look(), "put"), **changes}


SQUARE = np.zeros((224, 224, 3), np.uint8)
BAD = {
    "text": ("hello", "a message of text"),
    "garbage": (b"\xc1\xff\x00", "not a message"),
    "nothing": (b"", "not a message"),
    "truncated": (wire.pack(look())[:-7], "incomplete"),
    "no map": (b"\x93\x01\x02\x03", "no map"),
    "empty": ({}, "'task'"),
    "foreign": ({"observation/state": np.zeros(8), "prompt": "x"}, "'task'"),
    "no state": (bad(**{STATE: None}), "no 'observation.state'"),
    "short state": (bad(**{STATE: np.zeros(7, np.float32)}), "(7,); expected numbers (14,)"),
    "ragged state": (bad(**{STATE: [[1.0], [1.0, 2.0]]}), "expected numbers (14,)"),
    "state of text": (bad(**{STATE: ["1"] * 14}), "expected numbers (14,)"),
    "NaN": (bad(**{STATE: np.full(14, np.nan)}), "nan at (0,)"),
    "too large": (bad(**{STATE: np.full(14, 1e300)}), "inf at (0,)"),
    "no camera": (bad(**{WRIST: None}), "no picture 'observation.images.left_wrist'"),
    "float picture": (bad(**{BASE: np.zeros((96, 128, 3))}), "float64 (96, 128, 3); expected uint8 (H, W, 3)"),
    "picture of two": (bad(**{BASE: np.zeros((96, 128, 2), np.uint8)}), "expected uint8 (H, W, 3)"),
    "picture of none": (bad(**{BASE: np.zeros((0, 128, 3), np.uint8)}), "expected uint8 (H, W, 3)"),
    "picture of text": (bad(**{BASE: "picture"}), "is str; expected uint8"),
    "nothing said": (bad(**{TASK: "  "}), "'task' is '  '"),
    "novel": (bad(**{TASK: "a" * 3000}), "1 to 2000 letters"),
    "aloha without pictures": ({"state": np.zeros(14), "prompt": "put"}, "no picture 'cam_high'"),
    "aloha with a list": (aloha(images=[SQUARE]), "no picture 'cam_high'"),
    "aloha channels last": (aloha(images={"cam_high": SQUARE}), "(224, 224, 3); expected uint8 (3, H, W)"),
    "aloha without prompt": (aloha(prompt=None), "'prompt'"),
    "thought": (bad(thought={"subtask": 3}), "a thought"),
    "thoughtless": (bad(thought=None) | {"thought": None}, "a thought"),
    "thought of points": (bad(thought={"points": {"base": 3}}), "a thought"),
    "thought of pages": (bad(thought={"subtask": "a" * 3000}), "2000"),
    "chain of numbers": (bad(thought={"chain": [1, 2]}), "expected text"),
    "memory of numbers": (bad(thought={"memory": {"told": 5}}), "expected text"),
    "memory of pages": (bad(thought={"memory": {"told": "a" * 3000}}), "2000"),
    "no noise": (bad(thought={}), "no 'noise'"),
    "wrong noise": (bad(thought={}, noise=np.zeros((3, 14))), "(3, 14); expected numbers (4, 14)"),
}


def test_mistakes_are_answered_in_words_and_the_connection_goes_on():
    with PolicyServer(Fake(), port=0) as server, client(server) as there:
        for name, (message, reason) in BAD.items():
            answer = ask(there, message)
            assert isinstance(answer, str) and reason in answer and len(answer) < 500, (name, answer)
            assert "Traceback" not in answer and os.sep + "pilab" not in answer
        assert ask(there, look())["actions"].shape == (4, 14)


def test_a_policy_that_fails_says_so_and_hangs_up(caplog):
    with PolicyServer(Broken(), port=0) as server, client(server) as witness:
        for task, kind in (("divide", "ZeroDivisionError"), ("stop", "StopIteration")):
            with client(server) as there:
                answer = ask(there, look(task=task))
                assert kind in answer and "secret" not in answer and "Traceback" not in answer
                with pytest.raises(ConnectionClosedError) as closed:
                    there.recv(PATIENCE)
                assert closed.value.rcvd.code == 1011 and "previous frame" in closed.value.rcvd.reason
            assert "secret" in caplog.text
        assert "NaN" in ask(witness, look(task="NaN"))  # an answer that no robot must follow, in time to ask again
        assert ask(witness, look(task="work"))["actions"].shape == (1, 14)


def test_a_message_over_the_limit_is_never_read():
    with PolicyServer(Hold(), port=0, max_bytes=10_000) as server, client(server) as witness:
        with client(server) as there:
            with pytest.raises(ConnectionClosedError) as closed:
                ask(there, bytes(20_000))
            assert closed.value.rcvd.code == 1009 and "10000" in closed.value.rcvd.reason
        assert ask(witness, {STATE: look()[STATE], TASK: "stay"})["actions"].shape == (1, 14)


def test_a_token_is_asked_for():
    with PolicyServer(Hold(), port=0, token="open-sesame") as server:
        right, wrong = (("Authorization", f"Api-Key {word}") for word in ("open-sesame", "open-sesam"))
        for headers in (
            [],
            [wrong],
            [right, right],
            [("Authorization", "open-sesame")],
            [("Authorization", "Api-Key é")],
        ):
            with pytest.raises(InvalidStatus) as refused:
                client(server, additional_headers=headers).__enter__()
            assert refused.value.response.status_code == 401
            assert b"Api-Key TOKEN" in refused.value.response.body
        with client(server, additional_headers=[right]) as there:
            assert there.metadata["policy"] == "Hold"
        assert health(server) == (200, b"OK\n")
        with pytest.raises(PolicyError, match="401"):
            RemotePolicy(server.url, "open-sesam")
        RemotePolicy(server.url, "open-sesame").close()


def test_web_pages_are_refused():
    with PolicyServer(Hold(), port=0) as server, pytest.raises(InvalidStatus) as refused:
        client(server, origin="http://page.example").__enter__()
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.0.7", "robot.example", "localhost.example"])
def test_other_machines_need_a_token(host):
    with pytest.raises(PilabError, match="token"):
        PolicyServer(Hold(), host)
    assert PolicyServer(Hold(), host, token="open-sesame").host == host


@pytest.mark.parametrize("token", ["", " ", "a b", "é", "a\n"])
def test_a_token_has_to_be_one(token):
    with pytest.raises(PilabError, match="token_urlsafe"):
        PolicyServer(Hold(), "0.0.0.0", token=token)


def test_what_cannot_be_served_is_refused():
    with pytest.raises(PolicyError, match="simulator's truth"):
        PolicyServer(Demonstrator())
    with PolicyServer(Hold(), port=0) as server, pytest.raises(PilabError, match=f"cannot listen .* {server.port}"):
        PolicyServer(Hold(), port=server.port).start()
    with pytest.raises(PilabError, match="cannot listen"):
        PolicyServer(Hold(), port=70_000).start()


# ------------------------------------------------------------------------------------------------------------ the client
def compare(local: Executor, remote: Executor, steps: int = 8) -> None:
    """Two episodes each, step by step, with a coach and a new task on the way."""
    pairs = [[executor.begin("put", seed) for seed in (3, 4)] for executor in (local, remote)]
    for t in range(steps):
        for executor, episodes in zip((local, remote), pairs, strict=True):
            if t == steps // 2:
                executor.say(episodes[0], "reach for the mug")
                executor.instruct(episodes[1], "push")
        seen = [look(10 * t + i) for i in range(2)]
        here, there = local.step(pairs[0], seen), remote.step(pairs[1], seen)
        for a, b in zip(here, there, strict=True):
            np.testing.assert_array_equal(a.label, b.label)
            np.testing.assert_array_equal(a.executed, b.executed)
            assert a.thought == b.thought


def test_a_remote_policy_is_the_policy():
    with PolicyServer(Fake(), port=0) as server:
        remote = RemotePolicy(server.url)
        assert (remote.cameras, remote.noise_shape, remote.fingerprint) == (Fake.cameras, (4, 14), Fake.fingerprint)
        assert (remote.think_interval, remote.replan_interval) == (3, 2)
        compare(Executor(Fake(), BODY, arm="x"), Executor(remote, BODY, arm="x"))
        observation = {k: np.stack([v]) if isinstance(v, np.ndarray) else [v] for k, v in look().items()}
        observation[NOISE] = np.ones((1, 4, 14), np.float32)
        chunks = [policy.act(observation, [Thought("reach")]) for policy in (Fake(), remote)]
        np.testing.assert_array_equal(*chunks)
        assert chunks[0].dtype == chunks[1].dtype
        remote.close()


def test_a_server_is_a_policy_by_name(monkeypatch):
    monkeypatch.setenv("PILAB_TOKEN", "open-sesame")
    with PolicyServer(Hold(), port=0, token="open-sesame") as server:
        policy = make_policy(server.url, BODY)
        assert isinstance(policy, RemotePolicy) and policy.cameras == ()
        compare(Executor(Hold(), BODY), Executor(policy, BODY), 2)
        policy.close()


def test_a_client_comes_back_to_the_same_server_only():
    with PolicyServer(Fake(), port=0) as server:
        remote = RemotePolicy(f"{server.host}:{server.port}", timeout=PATIENCE)
        executor = Executor(remote, BODY)
        executor.step([executor.begin("put", 0)], [look()])
    with pytest.raises(PolicyError, match="no policy server at ws://"):
        executor.step([executor.begin("put", 0)], [look()])
    with PolicyServer(Fake(), port=server.port):
        compare(Executor(Fake(), BODY), executor, 2)
    with PolicyServer(Hold(), port=server.port), pytest.raises(PolicyError, match="something else"):
        executor.step([executor.begin("put", 0)], [look()])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:1", "ws://", "ws://no such host"])
def test_nobody_there_is_a_clear_error(url):
    with pytest.raises(PolicyError, match="no policy server at"):
        RemotePolicy(url)


class Openpi:
    """A server as openpi's: little to say about itself, one request after the other, a traceback and 1011 at the end."""

    def __init__(self, answers, about=None):
        self.answers, self.about, self.requests, self.connections = answers, about or {}, [], 0
        self.server = serve(self.converse, "127.0.0.1", 0, compression=None, max_size=None)
        self.url = f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def converse(self, there):
        self.connections += 1
        there.send(wire.pack(self.about))
        for message in there:
            self.requests.append(wire.unpack(message))
            answer = self.answers(len(self.requests))
            there.send(answer if isinstance(answer, str) else wire.pack(answer))
            if isinstance(answer, str):
                there.close(1011, "Internal server error. Traceback included in previous frame.")

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def test_an_openpi_server_gets_alohas_keys():
    chunk = np.arange(6 * 14, dtype=np.float64).reshape(6, 14)
    with Openpi(lambda n: {"actions": chunk + n, "policy_timing": {"infer_ms": 1.0}}) as server:
        remote = RemotePolicy(server.url)
        assert remote.noise_shape is None and remote.cameras is None
        executor = Executor(remote, BODY)
        commands = executor.step([executor.begin("put", 0), executor.begin("push", 0)], [look(0), look(1)])
        said = [request["prompt"] for request in server.requests]
        remote.act({k: np.stack([v]) for k, v in look().items()}, [Thought("reach")])
        remote.close()
    assert said == ["put", "push"] and server.requests[2]["prompt"] == "reach"
    low, high = BODY.action.low, BODY.action.high
    np.testing.assert_allclose(commands[1].executed, np.clip(chunk[0] + 2, low, high), rtol=1e-6)
    request = server.requests[0]
    assert set(request) == {"state", "images", "prompt"}
    assert set(request["images"]) == {"cam_high", "cam_left_wrist", "cam_right_wrist"}
    assert {(i.shape, i.dtype.str) for i in request["images"].values()} == {((3, 224, 224), "|u1")}
    np.testing.assert_array_equal(request["state"], look(0)[STATE])


def test_an_openpi_server_that_fails_is_asked_again_on_another_connection():
    trace = "Traceback (most recent call last):\n  …\nValueError: no camera"
    with Openpi(lambda n: trace if n == 1 else {"actions": np.zeros((2, 14))}) as server:
        executor = Executor(RemotePolicy(server.url), BODY)
        with pytest.raises(PolicyError, match=r"(?s)answers: .*no camera"):
            executor.step([executor.begin("put", 0)], [look()])
        executor.step([executor.begin("put", 0)], [look()])
    assert server.connections == 2


def test_a_server_of_another_pilab_is_refused():
    with Openpi(dict, {"pilab": "9.9"}) as server, pytest.raises(PolicyError, match=f"9.9; expected {__version__}"):
        RemotePolicy(server.url)


@pytest.mark.parametrize(
    "answer",
    [{}, {"actions": [1.0]}, {"actions": np.zeros(14)}, {"actions": np.array([["a"]])}, {"actions": np.zeros((2, 13))}],
)
def test_an_answer_without_a_chunk_is_refused(answer):
    with Openpi(lambda n: answer) as server:
        executor = Executor(RemotePolicy(server.url), BODY)
        with pytest.raises(PolicyError, match="expected"):
            executor.step([executor.begin("put", 0)], [look()])


def test_a_late_answer_is_not_taken_for_the_next():
    late = threading.Event()
    with Openpi(lambda n: {"actions": np.full((2, 14), n / 10)} if n > 1 or late.wait(PATIENCE) else {}) as server:
        remote = RemotePolicy(server.url, timeout=PATIENCE)
        executor = Executor(remote, BODY)
        remote.timeout = 0.05
        with pytest.raises(PolicyError, match="no answer"):
            executor.step([executor.begin("put", 0)], [look()])
        late.set()
        remote.timeout = PATIENCE
        (command,) = executor.step([executor.begin("put", 0)], [look()])
        assert command.label[0] == np.float32(0.2)


# ------------------------------------------------------------------------------------------------------------ the rest
def test_bars_go_as_they_came():
    rows, columns = np.mgrid[:96, :128]
    picture = np.stack([2 * rows, columns, rows + columns], -1).astype(np.uint8)
    boxed = letterbox(picture, 224)
    assert boxed.shape == (224, 224, 3) and not boxed[:28].any() and not boxed[-28:].any() and boxed[28:196].any()
    back = crop(boxed, 96, 128).astype(int)
    assert np.abs(back - picture)[2:-2, 2:-2].max() <= 4
    np.testing.assert_array_equal(crop(picture, 96, 128), picture)
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert (crop(wide, 48, 48) == 200).all()
    thin = np.zeros((1, 1000, 3), np.uint8)
    assert crop(thin, 96, 128).shape == (96, 128, 3) and letterbox(thin, 96).shape == (96, 96, 3)


def test_both_vocabularies_say_the_same():
    cameras = [BODY.camera("base")]
    ours, theirs = look(), to_aloha(look(), "put the apple in the bowl")
    theirs["images"]["cam_high"] = ours[BASE].transpose(2, 0, 1)
    theirs["prompt"] = np.array(theirs["prompt"])
    a, b = (read_observation(request, BODY, cameras) for request in (ours, theirs))
    assert a.keys() == b.keys() == {STATE, TASK, BASE}
    assert all(np.array_equal(a[key], b[key]) for key in a) and a[TASK] == b[TASK] == ours[TASK]


def test_without_its_packages_the_bridge_says_what_to_install(monkeypatch):
    server = PolicyServer(Hold(), port=0)
    for package in ("msgpack", "websockets.sync.client", "websockets.asyncio.server"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            calls = [server.start] * (package != "websockets.sync.client")
            calls += [lambda: RemotePolicy("ws://127.0.0.1:1")] * (package != "websockets.asyncio.server")
            for call in calls:
                with pytest.raises(PilabError, match="pip install msgpack websockets"):
                    call()


def test_the_command_serves(monkeypatch, capsys):
    monkeypatch.setenv("PILAB_TOKEN", "open-sesame")
    served = []

    def once(server, ready):
        served.append(server)
        ready()
        raise KeyboardInterrupt

    monkeypatch.setattr(PolicyServer, "serve_forever", once)
    assert cli.main("serve hold --host 0.0.0.0 --port 8123 --json".split()) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["url"] == "ws://0.0.0.0:8123" and about["policy"] == "Hold" and served[0].token == "open-sesame"
    monkeypatch.delenv("PILAB_TOKEN")
    assert cli.main("serve hold --host 0.0.0.0".split()) == 2
    assert "give a token" in capsys.readouterr().err
