"""HOW PODS HEAR EACH OTHER: one promise, one file per way of keeping it."""
