"""What was said: words, phones, and what language models and searches are worth."""
