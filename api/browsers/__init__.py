"""What browsers and probes ask of an HTTP server beyond the API's own routes."""
