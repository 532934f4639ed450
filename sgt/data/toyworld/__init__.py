"""Small three-dimensional scenes with exact labels, captions and questions."""

from sgt.data.toyworld.raytrace import render_scene
from sgt.data.toyworld.sampling import sample_scene

__all__ = ["render_scene", "sample_scene"]

# To be incremented with any change in what a seed gives.
GENERATOR_VERSION = 2
