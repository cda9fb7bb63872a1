"""Methods that split a mixture into its sources."""
