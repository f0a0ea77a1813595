"""Put a plug into a socket 6 mm wider than it."""

from __future__ import annotations

from pilab.world.tasks._insert import Insert

TASK = Insert("insert", 0.006)
