"""HOW PODS REACH EACH OTHER: the bus and the registry, in memory and on Redis."""
