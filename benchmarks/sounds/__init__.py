"""Sounds that are no speech: what they are, and what can be known from them."""
