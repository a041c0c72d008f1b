"""HTTP features for browsers and probes, beyond the API's own routes."""
