"""Test sets, what systems made of them, and their standing."""
