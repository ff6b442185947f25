"""From a folder to chunks: walk, read, cut."""
