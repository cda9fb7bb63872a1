"""Sounds that are no speech: what they are, what finds them, and what can be known from them."""
