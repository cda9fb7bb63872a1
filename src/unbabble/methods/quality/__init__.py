"""How well it went, without the truth."""
