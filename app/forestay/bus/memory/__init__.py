"""The bus and the registry inside one process."""
