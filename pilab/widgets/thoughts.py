"""A viewer of thoughts: what a policy had in mind during an episode, moment by moment, and what it would have thought.

Design choices
--------------
* **The page asks, the kernel answers.** A moment is drawn when somebody looks at it, so an episode may be of any length.
* **The last pictures there were.** Between two looks of a policy nothing is rendered; a moment then shows each camera's last
  picture, labelled with its time, and the policy is asked about the readings that belong to them.
* **Points are the thought's own**, else those at which the policy looks for its words.
* **To change a sentence is to think on from it.** The sentences up to there go to `policy.think` as a person's; what comes of
  them stands beside what was thought. The episode stays as it was.
* Messages from the page are data: an unknown or malformed one is answered with an error and changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets

from pilab.contracts import TASK, Embodiment, Observation, PilabError, Policy, Thought, image_key
from pilab.figures.thoughts import draw_camera
from pilab.robots.executor import batch, unprivileged
from pilab.robots.simulated import Reel
from pilab.vla.thoughts import sentences
from pilab.widgets.page import HERE, jpeg, runs, script
from pilab.world.scenes import find_body

HEIGHT = 384  # px of a picture as it is sent: about two for each on the page
LONGEST = 500  # characters that a person may say


class Thoughts(anywidget.AnyWidget):
    """Look through what was thought. moments: a `Reel`, or (observation, thought) of every moment, `seconds` apart.

    policy: who thinks on from a changed sentence; without one there is only to look at. body: whose cameras, by default the
    policy's body, or `duo`. success: how it ended, if that is known. seconds: by default those of a control step. Raises
    `PilabError` for no moments.
    """

    _esm = script("thoughts.js")
    _css = HERE / "thoughts.css"

    spans = traitlets.List().tag(sync=True)  # same words: first moment, moment after the last, subtask or "", author
    marks = traitlets.List().tag(sync=True)  # where a person spoke: moment, words
    about = traitlets.Dict().tag(sync=True)  # moments, seconds, cameras, success, thinks
    error = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self, moments: Reel | Sequence[tuple[Observation, Thought]], policy: Policy | None = None, *,
        body: Embodiment | None = None, success: bool | None = None, seconds: float | None = None,
    ) -> None:  # fmt: skip
        pairs = zip(moments.observations, moments.thoughts, strict=True) if isinstance(moments, Reel) else moments
        self.moments, self.policy = list(pairs), policy
        if not self.moments:
            raise PilabError("0 moments to look at; expected at least one (observation, thought): run an episode first")
        self.body = body = body or getattr(policy, "body", None) or find_body("duo")
        self._pictured = {  # camera → the moments that have its picture
            c.name: np.flatnonzero([o.get(image_key(c.name)) is not None for o, _ in self.moments])
            for c in body.cameras
        }
        words = [(t.subtask or "", t.author, t.chain) for _, t in self.moments]
        about = {
            "moments": len(words), "seconds": seconds or 1 / body.control_hz,
            "success": None if success is None else bool(success),
            "cameras": [[c.name, c.height, c.width] for c in body.cameras], "thinks": hasattr(policy, "think"),
        }  # fmt: skip
        spans = [[first, end, *told[:2]] for first, end, told in runs(words)]
        super().__init__(spans=spans, marks=self._spoken(), about=about)
        self.on_msg(lambda _, content, buffers: self.receive(content))

    def receive(self, message: Any) -> None:
        """{do: "moment", moment} → that thought; {do: "think", moment, chain} → what it would have thought, chain given."""
        self.error = ""  # so that the same error twice is told twice
        try:
            if not isinstance(message, Mapping):
                raise PilabError(f"the page sent {message!r:.40}; expected {{do: …}}")
            kind, k = message.get("do"), message.get("moment")
            if kind == "moment":
                about, pictures = self.story(k)
            elif kind == "think":
                about, pictures = self.rethought(k, message.get("chain"))
            else:
                raise PilabError(f"the page asked for {kind!r:.40}; expected moment or think")
            self.send({"do": kind, "moment": k, **about}, pictures)
        except PilabError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 (a policy may be anyone's: who asked reads what went wrong)
            self.error = f"{type(error).__name__}: {error}"

    def story(self, k: int) -> tuple[dict[str, Any], list[bytes]]:
        """What was thought at a moment, and its pictures. Raises `PilabError` for a moment that is not there."""
        self._check(k)
        return self._shown(k, self.moments[k][1])

    def rethought(self, k: int, chain: Any) -> tuple[dict[str, Any], list[bytes]]:
        """What `think` finds, with its pictures, how many of its sentences were given, and the words never heard before."""
        thought, given = self.think(k, chain), said(chain)
        about, pictures = self._shown(k, thought)
        unseen = self.policy.unseen(" ".join(given)) if hasattr(self.policy, "unseen") else []
        return {**about, "given": len(given), "unseen": unseen}, pictures

    def think(self, k: int, chain: Sequence[str]) -> Thought:
        """What the policy would have thought at a moment, had its thought begun with these sentences.

        Raises `PilabError` for a moment that is not there, for no sentences and for no policy, and what the policy raises.
        """
        self._check(k)
        if not hasattr(self.policy, "think"):
            raise PilabError("nobody is here to think on; make the viewer with Thoughts(moments, policy=policy)")
        now = self.moments[k][1]
        before = next((t for _, t in reversed(self.moments[:k]) if t != now), Thought())  # whose memory it could read
        begun = Thought(chain=said(chain), author="person", memory=before.memory)
        (thought,) = self.policy.think(self._told(self.seen(k)[0]), [begun])
        return thought

    def seen(self, k: int) -> tuple[Observation, dict[str, int]]:
        """What there was to see at a moment, and the moment of each camera's picture; cameras without one are left out.

        Pictures are the last there were, other readings those of the newest picture, the instruction is that of the moment.
        """
        taken = {
            name: int(at[count - 1])
            for name, at in self._pictured.items()
            if (count := np.searchsorted(at, k, side="right"))
        }
        seen = dict(self.moments[max(taken.values(), default=k)][0])
        seen |= {image_key(name): self.moments[at][0][image_key(name)] for name, at in taken.items()}
        seen[TASK] = self.instruction(k)
        return seen, taken

    def instruction(self, k: int) -> str:
        """What was asked for at a moment; "" if nothing was."""
        return self.moments[k][0].get(TASK, "")

    # -------------------------------------------------------------------------------------------------------------- parts
    def _check(self, k: Any) -> None:
        if type(k) is not int or not 0 <= k < len(self.moments):
            raise PilabError(f"moment {k!r:.40}; there are 0 … {len(self.moments) - 1}")

    def _shown(self, k: int, thought: Thought) -> tuple[dict[str, Any], list[bytes]]:
        """A thought at a moment, in words, and every camera's picture with it."""
        observation, taken = self.seen(k)
        pointed, names = self._pointed(observation, thought), [c.name for c in self.body.cameras]
        drawn = [draw_camera(observation, self.body, name, pointed, height=HEIGHT) for name in names]
        about = {"chain": list(thought.chain), "subtask": thought.subtask or "", "author": thought.author}
        about |= {"instruction": self.instruction(k), "taken": [taken.get(name) for name in names]}
        return about, [jpeg(np.asarray(picture), sharp=True) for picture in drawn]

    def _pointed(self, observation: Observation, thought: Thought) -> Thought:
        """With the points at which the policy looks, if the thought has none of its own and the policy has seen anything."""
        read = getattr(self.policy, "cameras", None)
        read = [c.name for c in self.body.cameras] if read is None else read
        blind = any(image_key(name) not in observation for name in read)
        if thought.points or blind or not hasattr(self.policy, "look"):
            return thought
        (found,) = self.policy.look(self._told(observation), [thought])
        return dataclasses.replace(thought, points=found.points)

    def _told(self, observation: Observation) -> Observation:
        """A batch of one, without the simulator's truth for policies that are not told it at work either."""
        told = dict(observation)
        if not getattr(self.policy, "privileged", False):
            told = unprivileged(told)
        return batch([told])

    def _spoken(self) -> list[list[Any]]:
        """Where a person thought for the policy, or changed the instruction."""
        marks, before = [], None
        for k, (_, thought) in enumerate(self.moments):
            told, now = [], (thought.author, thought.subtask, thought.chain)
            if k and self.instruction(k) != self.instruction(k - 1):
                told.append(f"instruction: {self.instruction(k)}")
            if now != before and thought.author == "person":
                told.append(thought.subtask or " ".join(thought.chain) or "points")
            if told:
                marks.append([k, " · ".join(told)])
            before = now
        return marks


def said(chain: Any) -> tuple[str, ...]:
    """What a person typed, as sentences that end. Raises `PilabError` for no list of texts, an empty last one, and too much."""
    if not isinstance(chain, list | tuple) or not all(isinstance(text, str) for text in chain):
        raise PilabError(f"the sentences are {chain!r:.40}; expected a list of texts")
    if not chain or not any(map(str.isalnum, chain[-1])):
        raise PilabError(f"nothing was said: {' '.join(chain[-1:])!r:.40}; type a sentence")
    if (characters := sum(map(len, chain))) > LONGEST:
        raise PilabError(f"{characters} characters were said; expected up to {LONGEST}: say it shorter")
    found = [sentence for text in chain for sentence in sentences(text)]
    return tuple(s if s.endswith((".", "?", "!")) else f"{s}." for s in found)
