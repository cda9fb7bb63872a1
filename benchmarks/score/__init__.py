"""Scores without references: how near the truth they are, and what is chosen by them."""
