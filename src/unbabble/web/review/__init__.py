"""Judging what was recorded, and data sets of what was accepted."""
