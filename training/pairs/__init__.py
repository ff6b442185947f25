"""What the built-in model learns from: pairs of texts of which one asks for the other."""
