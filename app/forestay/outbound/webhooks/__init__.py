"""Tells the application's backend what happens: takes events from the queue, and sends them over HTTP."""
