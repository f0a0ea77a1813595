"""Datasets on disk: the LeRobot format, the frame cache, the dataset cards.

Import what you need from the module that owns it: `pilab.data.lerobot`, `pilab.data.cache`, `pilab.data.cards`.
"""
