"""The Triton models as they stand on disk, and the typed configurations that render them."""
