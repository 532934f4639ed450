"""``mllm/config.json``, the configuration of Qwen2.5-VL, as any version of transformers writes it.

Up to 4.51 the sizes of the language model stand beside ``vision_config``; later they are in ``text_config``, and 5 has
other names for the rotary frequencies. All are brought into the form of 4.51.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgt.errors import SgtError
from sgt.models.configs import REFETCH, flat, read_config_file, require_sizes, rotation

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLConfig

MODEL_TYPE = "qwen2_5_vl"
LANGUAGE_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
VISION_SIZES = (
    "depth",
    "hidden_size",
    "intermediate_size",
    "num_heads",
    "out_hidden_size",
    "patch_size",
    "spatial_merge_size",
    "temporal_patch_size",
    "window_size",
)
# Other names of transformers for the same sizes.
VISION_NAMES = {"num_hidden_layers": "depth", "num_attention_heads": "num_heads"}


def read_language_config(path: Path) -> dict[str, Any]:
    """The configuration in the flat form; one that is in it is returned as it is.

    Raises:
        SgtError: it is missing, not JSON, another model's, or lacks what must be known.
    """
    content = read_config_file(path)
    if content.get("model_type", MODEL_TYPE) != MODEL_TYPE:
        raise SgtError(path, f"model_type is {content['model_type']!r}", f"OmniGen2's language model is a {MODEL_TYPE}")
    config = _flat_language(path, content)
    vision = config.get("vision_config")
    if not isinstance(vision, dict):
        raise SgtError(path, "has no vision_config" if vision is None else "vision_config is not an object", REFETCH)
    config["vision_config"] = _current_names(vision)
    require_sizes(path, config["vision_config"], VISION_SIZES, "vision_config.")
    # Imported here, as transformers is: reading sizes alone does not need them.
    from huggingface_hub.errors import StrictDataclassError

    try:
        language_config(config)
    except (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise SgtError(path, f"transformers cannot use it ({' '.join(str(error).split())})", REFETCH) from None
    return config


def language_config(config: dict[str, Any]) -> "Qwen2_5_VLConfig":
    """The configuration as transformers has it, which changes what it is given."""
    from transformers import Qwen2_5_VLConfig

    values = json.loads(json.dumps(config))
    # Those of the released vocabulary; a smaller one has none, and nothing here reads them.
    unknown = [name for name in ("bos_token_id", "eos_token_id") if (values.get(name) or 0) >= values["vocab_size"]]
    made = Qwen2_5_VLConfig(**{**values, **dict.fromkeys(unknown)})
    made._attn_implementation = "sdpa"
    return made


def _flat_language(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    config = dict(flat(path, content, "text_config"))
    require_sizes(path, config, LANGUAGE_SIZES)
    if config.get("use_sliding_window"):
        raise SgtError(path, "use_sliding_window is true", "use OmniGen2's own file: it attends to all earlier tokens")
    theta, scaling = rotation(path, config)
    sections = scaling.get("mrope_section")
    head = config["hidden_size"] // config["num_attention_heads"]
    if not isinstance(sections, list) or not all(isinstance(part, int) for part in sections):
        raise SgtError(path, f"mrope_section is {sections!r}, not a list of whole numbers", REFETCH)
    if 2 * sum(sections) != head:
        raise SgtError(path, f"mrope_section {sections} is not half of a head's {head} numbers", REFETCH)
    if "text_config" in content or "rope_parameters" in content:
        config.pop("rope_parameters", None)
        kind = scaling.get("rope_type", scaling.get("type", "default"))
        config["rope_theta"] = theta
        config["rope_scaling"] = (
            scaling if kind not in ("default", "mrope") else {"type": "mrope", "mrope_section": sections}
        )
        # Either place counts for transformers.
        config["tie_word_embeddings"] = any(
            part.get("tie_word_embeddings", False) for part in (content, content.get("text_config") or {})
        )
    return config


def _current_names(vision: dict[str, Any]) -> dict[str, Any]:
    """A vision tower's sizes under the names that the code uses; both may be there."""
    named = {VISION_NAMES[key]: value for key, value in vision.items() if key in VISION_NAMES}
    missing = {key: value for key, value in named.items() if key not in vision}
    return vision | missing
