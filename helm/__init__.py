"""Generates files from the chart: its table of values, and the plain manifests of k8s/."""
