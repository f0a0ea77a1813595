"""From datasets to checkpoints: what is learnt from, how it is said, recipes, and what is watched on the way."""
