"""The usage ledger: tokens and cost of each call."""
