"""Compiled twins of the demixing updates."""
