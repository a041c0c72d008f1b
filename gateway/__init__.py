"""Optional stages around a call: one folder each, which registers itself."""
