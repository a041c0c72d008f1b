"""Quality over time: sampled traces, evaluation of versions on data sets, drift detection."""
