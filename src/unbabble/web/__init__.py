"""The browser's rooms: separate and listen, collect real mixtures, rate them, see who leads."""
