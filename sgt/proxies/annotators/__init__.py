"""Models that make annotations of images that have none."""
