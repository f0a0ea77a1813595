"""Figures as functions of rows and frames: one theme, one palette, nothing that a second run could not draw again."""
