"""Which sounds are in a recording."""
