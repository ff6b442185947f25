"""What runs inside Ray actors: models, segments, routing. Imports nothing of the other packages."""
