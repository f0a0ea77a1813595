"""Scripts that show every task: privileged, closed-loop, smooth; `Demonstrator` picks the right one for each scene."""

from pilab.world.demonstrators.script import CoverageNoise, Demonstrator, Manner

__all__ = ["CoverageNoise", "Demonstrator", "Manner"]
