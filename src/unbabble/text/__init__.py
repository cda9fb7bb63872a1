"""What is done with words: nothing yet; recognition and synthesis bring it."""
