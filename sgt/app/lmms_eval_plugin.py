"""What lmms-eval finds by the entry point ``lmms_eval.models`` of this package: our models, as its model ``sgt``."""

from lmms_eval.models.registry_v2 import ModelManifest

NAME = "sgt"


def manifest() -> ModelManifest:
    """Where the model's class is; it is imported only when the model is used."""
    return ModelManifest(NAME, simple_class_path="sgt.app.lmms_eval_model.SgtModel")
