"""openpi's websocket protocol, both ways: serve a policy to openpi's clients, or drive from an openpi server.

One message each way: the server speaks first (a map that describes it), then every request, a map, gets one answer.

Design choices
--------------
* **A pilab client keeps its own state.** Its requests carry thought and noise, and the answer is a function of the request
  alone: an Executor behind a socket does what it does without one. For openpi's clients, who know of neither, the server
  keeps an `Executor` episode per connection: noise, and a thought that is renewed in time or when the task changes.
* **One worker thread reads and infers**, in order of arrival; the event loop only moves bytes. A slow inference therefore
  delays other inferences and nothing else, and no late answer to a ping ends a connection.
* **Whose mistake is it?** A message that cannot be used gets a TEXT frame with the reason, and the connection stays (openpi
  closes it; its clients raise either way, and here may go on). When the policy itself fails the client learns the kind
  of error, the server's log the rest, and the connection is closed with 1011 as openpi does. A message over the limit is
  never read: 1009, with the sizes as the reason.
* **Loopback, or a token**, compared in constant time. Web pages, which send an `Origin`, are refused, for a page that is
  merely looked at could otherwise reach the loopback. There is no encryption: over a foreign network use a tunnel.
"""

from __future__ import annotations

import asyncio
import hmac
import importlib
import ipaddress
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import Any, Self

import numpy as np

from pilab import __version__
from pilab.contracts import NOISE, TASK, Embodiment, Observation, PilabError, Policy, PolicyError, Thought
from pilab.robots.bridges import wire
from pilab.robots.bridges.aloha import read_numbers, read_observation, read_thought, to_aloha
from pilab.robots.executor import Episode, Executor, batch
from pilab.world.scenes import find_body

MAX_BYTES = 32 * 2**20  # of a message: four cameras with 2.5 megapixels each
THOUGHT, THINK = "thought", "think"  # keys of pilab's own requests: the thought they bring; whether they want a new one
PINGS = {"ping_interval": 20, "ping_timeout": None}  # routers stay awake; who answers late is busy, not gone
TOLD = ("checkpoint", "cameras", "noise_shape", "thinks", "think_interval", "replan_interval")  # by a server of ours

logger = logging.getLogger(__name__)


class PolicyServer:
    """Serves a policy to openpi's clients and to `RemotePolicy`.

    with PolicyServer(policy, port=0) as server: …  # in a thread of its own, at server.url
    PolicyServer(policy).serve_forever()  # in this one, until it is interrupted
    """

    def __init__(
        self, policy: Policy, host: str = "127.0.0.1", port: int = 8000, token: str | None = None, *,
        body: Embodiment | None = None, max_bytes: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        """body: whose state and cameras the policy takes; without one, the policy's own, or the default body.

        port: 0 for any that is free. Raises `PilabError` for a host beyond this machine without a token, and for policies
        that read the simulator's truth.
        """
        if token is not None and not (token.isascii() and token.isprintable() and token.split() == [token]):
            raise PilabError("the token is empty, or has blanks or letters beyond ASCII; try secrets.token_urlsafe()")
        if token is None and not _is_loopback(host):
            raise PilabError(f"serving on {host!r} lets anyone on the network in: give a token, or stay on 127.0.0.1")
        if getattr(policy, "privileged", False):
            raise PolicyError(f"{type(policy).__name__} reads the simulator's truth, which nobody can send it")
        self.policy, self.host, self.port, self.token, self.max_bytes = policy, host, port, token, max_bytes
        self.body = body or getattr(policy, "body", None) or find_body("duo")
        self.executor = Executor(policy, self.body, arm="server")
        names = self.executor.cameras
        self.cameras = self.body.cameras if names is None else [self.body.camera(name) for name in names]
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What the server says first."""
        noise = self.executor.noise_shape
        return {
            "pilab": __version__,
            "policy": type(self.policy).__name__,
            "checkpoint": str(getattr(self.policy, "fingerprint", "")),
            "body": self.body.name,
            "state_dim": self.body.size,
            "action_dim": self.body.size,
            "action_names": list(self.body.action.names),
            "action_horizon": int(noise[0]) if noise else None,  # None: the policy does not say
            "cameras": {c.name: [c.height, c.width] for c in self.cameras},
            "hz": self.body.control_hz,
            "thinks": getattr(type(self.policy), "think", Policy.think) is not Policy.think,
            "noise_shape": [int(n) for n in noise] if noise else None,
            "think_interval": self.executor.think_interval,
            "replan_interval": self.executor.replan_interval,
        }

    @property
    def url(self) -> str:
        return f"ws://[{self.host}]:{self.port}" if ":" in self.host else f"ws://{self.host}:{self.port}"

    # -------------------------------------------------------------------------------------------------- running
    def serve_forever(self, ready: Callable[[], object] = lambda: None) -> None:
        """Serve in this thread; `ready` is called once clients can come. Raises `PilabError` where nobody can listen."""
        with ThreadPoolExecutor(1, "policy") as self._worker:
            asyncio.run(self._serve(_websockets("asyncio.server"), ready))

    def start(self) -> Self:
        """Serve in a thread of its own, until `stop`; returns, or raises `PilabError`, once clients can come."""
        bound: Future[None] = Future()

        def run() -> None:
            try:
                self.serve_forever(lambda: bound.set_result(None))
            except BaseException as error:
                if bound.done():
                    raise
                bound.set_exception(error)

        thread = threading.Thread(target=run, name="policy server", daemon=True)
        thread.start()
        bound.result()
        self._thread = thread
        return self

    def stop(self) -> None:
        """Say goodbye to all clients and end, after the inference that is running."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -------------------------------------------------------------------------------------------------- parts
    async def _serve(self, websockets: ModuleType, ready: Callable[[], object]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await websockets.serve(
                self._converse, self.host, self.port, compression=None, max_size=self.max_bytes, max_queue=2, origins=[None],
                process_request=self._admit, **PINGS,
            )  # fmt: skip
        except (OSError, OverflowError) as error:
            raise PilabError(f"cannot listen on {self.host} port {self.port}: {error}; try another port") from error
        try:
            self.port = server.sockets[0].getsockname()[1]
            ready()
            await self._stop.wait()
        finally:
            server.close()
            await server.wait_closed()

    def _admit(self, connection: Any, request: Any) -> Any:
        if request.path == "/healthz":
            return connection.respond(200, "OK\n")
        given = [value.encode("utf-8", "surrogateescape") for value in request.headers.get_all("Authorization")]
        if self.token is None or (len(given) == 1 and hmac.compare_digest(given[0], f"Api-Key {self.token}".encode())):
            return None
        return connection.respond(401, "wrong or no token; expected the header Authorization: Api-Key TOKEN\n")

    async def _converse(self, connection: Any) -> None:
        episode, before = self.executor.begin("", next(self._numbers)), {}
        try:
            await connection.send(wire.pack(self.metadata))
            async for message in connection:
                work = (episode, message, began := time.perf_counter(), before)
                answer, failed = await self._loop.run_in_executor(self._worker, self._answer, *work)
                await connection.send(answer)
                if failed:
                    await connection.close(1011, "Internal server error. Error included in previous frame.")
                before = {"prev_total_ms": _ms(began)}
        except _websockets("exceptions").ConnectionClosed:
            return

    def _answer(
        self, episode: Episode, message: str | bytes, began: float, before: dict[str, float]
    ) -> tuple[str | bytes, bool]:
        """The answer, or in words what is wrong; and whether the policy failed. In the worker thread; raises nothing."""
        try:
            if isinstance(message, str):
                raise PolicyError("a message of text; expected a binary one, a MessagePack map as of openpi-client")
            begun, answer = time.perf_counter(), self._infer(episode, wire.unpack(message))
            timing = {"policy_timing": {"infer_ms": _ms(begun)}, "server_timing": {"infer_ms": _ms(began), **before}}
            return wire.pack({**answer, **timing}), False
        except PilabError as error:
            return str(error), False
        except Exception as error:  # whatever it may raise: the other clients are still there
            logger.exception("the policy failed")
            return f"the policy failed ({type(error).__name__}); the server's log says more", True

    def _infer(self, episode: Episode, request: dict[str, Any]) -> dict[str, Any]:
        observation = read_observation(request, self.body, self.cameras)
        if (
            THOUGHT in request
        ):  # the client keeps the state: this episode lasts one request, and nobody else thinks in it
            episode = self.executor.begin(observation[TASK], 0)
            episode.thought, episode.coached = read_thought(request[THOUGHT]), True
            if request.get(THINK):
                thoughts = self.policy.think(batch([observation]), [episode.thought])
                return {THOUGHT: dict(vars(thoughts[0]))}
            if self.executor.noise_shape is not None:
                observation[NOISE] = read_numbers(request.get(NOISE), tuple(self.executor.noise_shape), NOISE)
        elif observation[TASK] != episode.task:
            self.executor.instruct(episode, observation[TASK])
        return {"actions": self.executor.chunk(episode, observation)}


class RemotePolicy(Policy):
    """Drives from an openpi server, or from a pilab one with thoughts and noise too: one request for each observation.

    An openpi server gets ALOHA's keys: pictures of 224 pixels square, and what is to be done as the prompt.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float | None = 60.0) -> None:
        """url: ws://HOST:PORT, wss://… or HOST:PORT. timeout: seconds to wait for an answer, None for ever.

        Raises `PolicyError` when nobody answers, here and later; the next request connects again.
        """
        self.url = url if "://" in url else f"ws://{url}"
        self.timeout, self._token = timeout, token
        self._lock, self._socket, self._hello = threading.Lock(), None, None
        self._connect()
        self.ours = "pilab" in self.metadata
        if self.ours:
            told = [self.metadata.get(key, self) for key in TOLD]
            if any(value is self for value in told):
                raise PolicyError(f"{self.url} is of pilab {self.metadata['pilab']}; expected {__version__}, as here")
            self.fingerprint, cameras, noise, self._thinks, self.think_interval, self.replan_interval = told
            self.cameras, self.noise_shape = tuple(cameras), tuple(noise) if noise else None

    def think(self, observation: Observation, previous: Sequence[Thought]) -> list[Thought]:
        """The server's thoughts, where it is one of ours and thinks."""
        if not (self.ours and self._thinks):
            return list(previous)
        rows = self._rows(observation, previous)
        return [read_thought(self._ask({**row, THINK: True}).get(THOUGHT)) for row in rows]

    def act(self, observation: Observation, thought: Sequence[Thought]) -> np.ndarray:
        """(B, H, A) joint targets."""
        chunks = [self._ask(row).get("actions") for row in self._rows(observation, thought)]
        shapes = {c.shape if isinstance(c, np.ndarray) and c.dtype.kind in "fiu" else type(c).__name__ for c in chunks}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise PolicyError(f"{self.url} gave actions of {shapes}; expected arrays of one shape (H, A)")
        return np.stack(chunks)

    def close(self) -> None:
        """Hang up. The next request connects again."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()

    # ------------------------------------------------------------------------------------------------------------ parts
    def _rows(self, observation: Observation, thought: Sequence[Thought]) -> Iterator[dict[str, Any]]:
        known = [k for k in observation if k in (TASK, NOISE) or k.startswith("observation.")]
        for i, t in enumerate(thought):
            row = {key: observation[key][i] for key in known}
            yield {**row, THOUGHT: dict(vars(t))} if self.ours else to_aloha(row, t.subtask or row.get(TASK, ""))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        data, closed = wire.pack(request), _websockets("exceptions").ConnectionClosed
        with self._lock:
            try:
                try:
                    answer = self._exchange(data)
                except closed:  # perhaps since the last request; the answer to the same again is the same
                    answer = self._exchange(data)
            except (OSError, closed) as error:
                raise PolicyError(f"no answer from {self.url}: {error}; read its log, or wait longer") from error
        return self._read(answer)

    def _exchange(self, data: bytes) -> str | bytes:
        if self._socket is None:
            self._connect()
        try:
            self._socket.send(data)
            return self._socket.recv(self.timeout)
        except BaseException:  # an interrupt too: a late answer must not be taken for that to the next request
            self.close()
            raise

    def _connect(self) -> None:
        headers = {"Authorization": f"Api-Key {self._token}"} if self._token else {}
        try:
            # Entered by hand: newer versions insist on a context, and the connection outlives this function.
            self._socket = _websockets("sync.client").connect(
                self.url, compression=None, max_size=MAX_BYTES, additional_headers=headers, proxy=None, close_timeout=1, **PINGS
            ).__enter__()  # fmt: skip
            hello = self._socket.recv(self.timeout)
            metadata = self._read(hello)
        except (OSError, ValueError, _websockets("exceptions").WebSocketException) as error:
            self.close()
            raise PolicyError(f"no policy server at {self.url}: {error}; check address and token") from error
        if self._hello not in (None, hello):
            self.close()
            raise PolicyError(f"{self.url} serves something else than before; make a new RemotePolicy")
        self._hello, self.metadata = hello, metadata

    def _read(self, answer: str | bytes) -> dict[str, Any]:
        if isinstance(answer, str):
            raise PolicyError(f"{self.url} answers: {answer[-2000:]}")  # of a traceback, the end
        return wire.unpack(answer)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ms(since: float) -> float:
    return 1000 * (time.perf_counter() - since)


def _websockets(part: str) -> ModuleType:
    """A module of websockets: imported when it is needed, so that pilab works without the bridge's packages."""
    try:
        importlib.import_module("msgpack")
        return importlib.import_module(f"websockets.{part}")
    except ImportError as error:
        raise PilabError(f"the bridge to openpi lacks a package ({error}): pip install msgpack websockets") from error
