"""How good answers are, told by questions whose right answers are known."""
