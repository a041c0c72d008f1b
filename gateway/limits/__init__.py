"""How much a tenant may call, and whose turn it is."""
