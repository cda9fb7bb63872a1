"""How many talk."""
