"""Trying models by hand: at the prompt, from Python and in a browser."""
