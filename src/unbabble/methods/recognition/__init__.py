"""Methods that write down what is said, one file each."""
