"""The chart, and what is written from it: the table of its values and the plain manifests of k8s/."""
