"""The review of suspects in a page, and the command that applies its decisions."""
