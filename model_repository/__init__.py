"""The Triton models on disk, and the typed configurations that render their `config.pbtxt`."""
