"""What is done with words: their tokens and pronunciations, language models' arithmetic, searches, errors, captions."""
