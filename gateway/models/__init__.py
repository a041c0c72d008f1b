"""Other names for models, and defaults of the requests to them."""
