"""How much one replica carries within an SLO, and what follows from it."""
