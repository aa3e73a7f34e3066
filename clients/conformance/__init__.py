"""What every client SDK has to do, as scenarios that a scripted gateway plays to it."""
