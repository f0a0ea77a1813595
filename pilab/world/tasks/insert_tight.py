"""Put a plug into a socket 2.5 mm wider than it."""

from __future__ import annotations

from pilab.world.tasks._insert import Insert

TASK = Insert("insert-tight", 0.0025)
