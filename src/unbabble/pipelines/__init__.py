"""What is done with recordings, by whatever model."""
