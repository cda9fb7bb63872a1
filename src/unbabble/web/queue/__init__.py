"""The queue of long work, and what is done when time has passed."""
