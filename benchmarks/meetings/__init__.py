"""Several talkers in one recording: who speaks when, and who says what."""
