"""What commands cost as a whole: starting, waiting, sharing the machine."""
