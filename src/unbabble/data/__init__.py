"""Corpora, rooms and mixing."""
