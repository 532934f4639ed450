"""Sources: datasets that are made from, or read from, downloads and folders of pictures. A new source is
one file, one entry here, and one class in ``sgt/config/datasets.py``.
"""

from sgt.data.sources.base import Source
from sgt.data.sources.coco import CocoSource
from sgt.data.sources.image_folder import ImageFolderSource
from sgt.data.sources.llava_onevision import LlavaOneVisionSource
from sgt.data.sources.own_images import OwnImagesSource
from sgt.data.sources.sam_sgt import SamSgtSource

SOURCES: dict[str, type[Source]] = {
    "coco": CocoSource,
    "image-folder": ImageFolderSource,
    "images": OwnImagesSource,
    "llava-onevision": LlavaOneVisionSource,
    "sam-sgt": SamSgtSource,
}
