"""Releases: a run as a folder that a hub takes, its upload, and a study as a bundle for a paper."""
