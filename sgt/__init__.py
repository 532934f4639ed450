"""Semantic Generative Tuning: what a visual task teaches a unified multimodal model."""

__version__ = "0.1.0"
