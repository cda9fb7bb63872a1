"""Which words, or pieces of words, are likely: language models."""
