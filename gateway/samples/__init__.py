"""What requests came to: samples that the release controller reads."""
