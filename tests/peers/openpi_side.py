"""What the real openpi-client does, in its own Python: `python openpi_side.py ask|serve …`. Knows nothing of pilab.

ask HOST PORT TOKEN ARRAYS: pictures and states of ARRAYS (npz) to the server → its answers, beside ARRAYS, and the metadata
serve ARRAYS: a server of openpi's kind with its own encoder, on a port that it prints → what it was asked, in ARRAYS
"""

import json
import sys

import numpy as np
import websockets.sync.server
from openpi_client import action_chunk_broker, image_tools, msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy


def ask(host: str, port: str, token: str, path: str) -> None:
    given = np.load(path)
    policy = WebsocketClientPolicy(host, int(port), token)
    out = {
        "golden": np.frombuffer(msgpack_numpy.packb({"observation/state": np.arange(3, dtype=np.float32)}), np.uint8)
    }
    out["pictures"] = image_tools.resize_with_pad(given["pictures"], 224, 224)

    def observe(i: int) -> dict:
        cameras = ("cam_high", "cam_left_wrist", "cam_right_wrist")
        images = {name: out["pictures"][i].transpose(2, 0, 1) for name in cameras}
        return {"state": given["states"][i], "images": images, "prompt": "put the apple in the bowl"}

    answers = [policy.infer(observe(i)) for i in range(len(given["states"]))]
    out["actions"] = np.stack([answer["actions"] for answer in answers])
    try:
        policy.infer({"state": given["states"][0][:3], "images": {}, "prompt": "put"})
    except RuntimeError as error:
        out["error"] = np.array(str(error))
    out["again"] = policy.infer(observe(0))["actions"]
    broker = action_chunk_broker.ActionChunkBroker(policy, len(out["again"]))
    out["broken_up"] = np.stack([broker.infer(observe(0))["actions"] for _ in out["again"]])
    np.savez(path, **out)
    print(json.dumps([policy.get_server_metadata(), {k: v for k, v in answers[-1].items() if k != "actions"}]))


def serve(path: str) -> None:
    def converse(there) -> None:
        there.send(msgpack_numpy.packb({}))
        for message in there:
            request = msgpack_numpy.unpackb(message)
            np.savez(path, state=request["state"], prompt=np.array(request["prompt"]), **request["images"])
            actions = np.tile(request["state"], (5, 1)) + np.arange(5, dtype=np.float32)[:, None]
            there.send(msgpack_numpy.packb({"actions": actions, "policy_timing": {"infer_ms": np.float32(1.5)}}))

    server = websockets.sync.server.serve(converse, "127.0.0.1", 0, compression=None, max_size=None)
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    {"ask": ask, "serve": serve}[sys.argv[1]](*sys.argv[2:])
