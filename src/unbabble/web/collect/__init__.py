"""Campaigns, those who take part, and the rules of what they record."""
