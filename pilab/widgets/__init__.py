"""Widgets for notebooks, one file each: the cockpit drives, the browser of episodes looks back."""
