"""Separation by the statistics of the mixture alone: demixing, scaling, whitening, source models."""
