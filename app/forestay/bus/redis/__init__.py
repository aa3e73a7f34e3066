"""The bus and the registry on Redis."""
