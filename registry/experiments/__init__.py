"""A/B experiments: definition, assignment, analysis, report."""
