"""WHAT A PERSON TYPES: verbs that speak to a running gateway as its clients do."""
