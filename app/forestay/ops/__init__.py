"""HOW THE CLUSTER SEES US: probes, the drain, metrics, traces and logs."""
