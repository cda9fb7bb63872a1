"""Separating with several microphones, without having learnt: how well, how fast, how long."""
