"""Annotators that know nothing, in the layout of the released ones: the files, their names, and their fields."""

import json
from pathlib import Path

import torch
from transformers import (
    DepthProConfig,
    DepthProForDepthEstimation,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Sam2VideoConfig,
    Sam2VideoModel,
    SwinConfig,
)

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "rescale_factor": 1 / 255}


def write_sam2(folder: Path) -> None:
    """SAM 2.1 as released: the model for videos, of which segmenting images reads a part."""
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "embed_dim_per_stage": [8, 16, 32, 64],
        "blocks_per_stage": [1, 1, 2, 1], "num_attention_heads_per_stage": [1, 2, 2, 2], "image_size": [64, 64],
        "window_size_per_stage": [4, 4, 4, 2], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    config = Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model", "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 32,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
        image_size=64, memory_attention_hidden_size=32, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=32, memory_encoder_output_channels=8, mask_downsampler_embed_dim=32,
        memory_fuser_embed_dim=32, memory_fuser_intermediate_dim=32, memory_fuser_num_layers=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Sam2VideoModel(config)
    # Masks that are decided, in either direction, as those of a trained model are.
    for head in model.mask_decoder.output_hypernetworks_mlps:
        head.proj_out.weight.data *= 1e5
    model.save_pretrained(folder)
    settings = {**IMAGENET, "image_processor_type": "Sam2ImageProcessorFast", "size": {"height": 64, "width": 64}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Sam2VideoProcessor"}))


def write_mask2former(folder: Path) -> None:
    """Mask2Former with a Swin backbone, for three things and two kinds of stuff."""
    backbone = SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4, image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=6, num_labels=5,
    )  # fmt: skip
    torch.manual_seed(0)
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    size = {"shortest_edge": 64, "longest_edge": 96}
    settings = {**IMAGENET, "image_processor_type": "Mask2FormerImageProcessor", "size": size, "size_divisor": 32}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def write_depth_pro(folder: Path) -> None:
    """Depth Pro with three encoders, of which the field of view decides nothing here."""
    encoder = {
        "model_type": "dinov2", "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "patch_size": 4,
        "image_size": 16, "use_mask_token": False,
    }  # fmt: skip
    config = DepthProConfig(
        patch_size=16, fusion_hidden_size=16, intermediate_hook_ids=[1, 0], intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.25, 0.5, 1.0], scaled_images_overlap_ratios=[0.0, 0.5, 0.25],
        scaled_images_feature_dims=[16, 16, 8], image_model_config=encoder, patch_model_config=encoder,
        fov_model_config=encoder, use_fov_model=True, num_fov_head_layers=0,
    )  # fmt: skip
    torch.manual_seed(0)
    DepthProForDepthEstimation(config).save_pretrained(folder)
    about = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 64, "width": 64}}
    (folder / "preprocessor_config.json").write_text(json.dumps({**about, "rescale_factor": 1 / 255}))
