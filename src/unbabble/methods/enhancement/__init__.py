"""Methods that take noise off speech, one file each."""
