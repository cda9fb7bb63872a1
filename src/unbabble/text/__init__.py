"""What is done with words: how texts are written in one way, how words are spoken, which words are likely."""
