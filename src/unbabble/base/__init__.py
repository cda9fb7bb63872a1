"""What everything rests on: audio files, contracts, registry, reports, errors, configuration."""
