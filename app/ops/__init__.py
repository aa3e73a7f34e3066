"""HOW THE CLUSTER SEES US: probes, the drain, metrics and logs."""
