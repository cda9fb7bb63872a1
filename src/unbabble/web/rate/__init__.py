"""Listening studies: trials, screening, opinions."""
