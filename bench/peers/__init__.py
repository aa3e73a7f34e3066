"""The servers of others under the same load as ours: how each is installed, started and spoken to."""
