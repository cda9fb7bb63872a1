"""Methods that tell speakers apart, one file each."""
