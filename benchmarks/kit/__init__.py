"""What the claims share; see ``kit.claim`` for what a claim is."""
