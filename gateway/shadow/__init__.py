"""Shadow copies, exposures and sampled traces; they run beside requests and never delay them."""
