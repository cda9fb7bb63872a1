"""What scorers and meters learn from: what networks made of known mixtures."""
