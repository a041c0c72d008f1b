"""Shadow copies, exposures and sampled traces, beside a request and never in its way."""
