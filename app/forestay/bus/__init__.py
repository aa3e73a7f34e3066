"""The bus and the registry: how pods reach each other, in one process or through Redis."""
