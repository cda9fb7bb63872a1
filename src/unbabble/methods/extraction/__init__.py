"""Methods that bring one enrolled person out of several, one file each."""
