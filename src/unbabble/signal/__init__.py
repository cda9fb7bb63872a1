"""Pure functions on signals: transforms, demixing updates, metrics, scaling, permutation."""
