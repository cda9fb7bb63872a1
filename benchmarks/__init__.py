"""What this project claims, measured: a module for each claim, in wings; ``python -m benchmarks`` lists them."""
