"""Ways to make a network better for one person, from that person's recordings; one file each."""
