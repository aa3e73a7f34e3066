"""What operators and the cluster see: probes, the drain, metrics, traces and logs."""
