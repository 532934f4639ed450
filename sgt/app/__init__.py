"""Trying models by hand: at the prompt and from Python."""
