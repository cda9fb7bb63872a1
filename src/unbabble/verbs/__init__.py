"""One file per command: resolve, run, write, report."""
