"""`duo_touch` with soft finger pads: what they press on can be seen by how they give way."""

from __future__ import annotations

import dataclasses

from pilab.world.bodies import duo_touch

BODY = dataclasses.replace(duo_touch.BODY, name="duo_soft", build="pilab.world.bodies._soft:build")
