"""Networks on one microphone: how well they separate and count, how fast they run and learn."""
