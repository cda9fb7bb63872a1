"""Enhancing and extracting: for anybody, and for one person."""
