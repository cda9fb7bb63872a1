"""Many files: in turn or in processes, with progress and a record of what was done."""
