"""Libraries that turn text into vectors, one file each, behind one protocol."""
