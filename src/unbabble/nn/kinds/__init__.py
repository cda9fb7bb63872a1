"""What a network of each kind has to be: one base class a kind."""
