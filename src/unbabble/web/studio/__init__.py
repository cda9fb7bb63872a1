"""What the studio asks of the queue, and of which models."""
