"""Evaluators: what tasks read images or texts with. Each checks that it works before it scores anything."""
