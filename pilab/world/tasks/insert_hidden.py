"""Put a plug into a socket 6 mm wider than it, which the camera above does not see."""

from __future__ import annotations

from pilab.world.tasks._insert import Insert

TASK = Insert("insert-hidden", 0.006, hidden=True)
