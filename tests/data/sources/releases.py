"""Small files in the very formats of the released datasets: a few images, the same folders, archives and records.

``python -m tests.data.sources.releases FOLDER`` writes them all, to look at or to fetch from.
"""

import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from pycocotools import mask as coco
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

from sgt.data.images import encode_jpeg, encode_png

IMAGES = 12
SIZE = (40, 60)
CATEGORIES = [
    {"supercategory": "person", "id": 1, "name": "person"},
    {"supercategory": "vehicle", "id": 3, "name": "car"},
    {"supercategory": "animal", "id": 17, "name": "cat"},
]
SUBSETS = {
    "vision_flan(filtered)": 40, "cambrian(filtered_gpt4vo)": 30, "chartqa(cauldron,llava_format)": 40, "mathqa": 40,
    "magpie_pro(l3_80b_st)": 40, "textcaps": 40,
}  # fmt: skip


def picture(number: int) -> np.ndarray:
    """A smooth random image (H, W, 3)."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (5, 8, 3), dtype=np.uint8))
    return np.asarray(small.resize(SIZE[::-1], Image.Resampling.BICUBIC))


def masks(number: int) -> list[np.ndarray]:
    """Three rectangles, of which the second lies over the first."""
    rng = np.random.default_rng([number, 1])
    found = [np.zeros(SIZE, np.uint8) for _ in range(3)]
    top, left = rng.integers(0, 8, 2)
    found[0][top : top + 25, left : left + 30] = 1
    found[1][top + 5 : top + 12, left + 4 : left + 20] = 1
    found[2][-10:, -12:] = 1
    return found


def rle(mask: np.ndarray) -> dict:
    """A compressed RLE, as SA-1B has it."""
    code = coco.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def sa_record(number: int) -> dict:
    """The annotations of an SA-1B image."""
    annotations = []
    for place, mask in enumerate(masks(number)):
        code = rle(mask)
        annotations.append(
            {
                "id": 1000 * number + place,
                "segmentation": code,
                "bbox": coco.toBbox(code).tolist(),
                "area": int(mask.sum()),
                "predicted_iou": 0.95,
                "stability_score": 0.97,
                "crop_box": [0.0, 0.0, 60.0, 40.0],
                "point_coords": [[5.0, 5.0]],
            }
        )
    image = {"image_id": number, "width": SIZE[1], "height": SIZE[0], "file_name": f"sa_{number}.jpg"}
    return {"image": image, "annotations": annotations}


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """One plain member."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_sam_sgt(folder: Path) -> None:
    """Two tars, one with its samples side by side, one in a folder with annotations apart; and the released list."""
    (folder / "sam_selection").mkdir(parents=True)
    (folder / "file_names").mkdir()
    numbers = list(range(1, IMAGES + 1))
    with tarfile.open(folder / "sam_selection/sam_selection-00001.tar", "w") as tar:
        for number in numbers[:6]:
            add(tar, f"./sa_{number}.jpg", encode_jpeg(picture(number)))
            add(tar, f"./sa_{number}.json", json.dumps(sa_record(number)).encode())
    with tarfile.open(folder / "sam_selection/sam_selection-00002.tar", "w") as tar:
        directory = tarfile.TarInfo("sam_selection")
        directory.type = tarfile.DIRTYPE
        tar.addfile(directory)
        for number in numbers[6:]:
            add(tar, f"sam_selection/sa_{number}.jpg", encode_jpeg(picture(number)))
        for number in numbers[6:]:
            add(tar, f"sam_selection/sa_{number}.json", json.dumps(sa_record(number)).encode())
    listed = [number for number in numbers if number != 9]
    lines = "".join(f"/data/SAM-SGT/sam_selection/sa_{number}.jpg\n" for number in listed)
    (folder / "file_names/sam_190k_new.txt").write_text(lines)


def coco_annotations(number: int) -> list[dict]:
    """Polygons, and a crowd as plain RLE."""
    found = []
    for place, mask in enumerate(masks(number)):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        crowd = place == 2
        flat = mask.ravel("F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
        polygon = [[left, top, right, top, right, bottom, left + 0.5, bottom]]
        found.append(
            {
                "segmentation": {"counts": counts, "size": list(SIZE)} if crowd else polygon,
                "area": float(mask.sum()),
                "iscrowd": int(crowd),
                "image_id": number,
                "bbox": [left, top, right - left, bottom - top],
                "category_id": CATEGORIES[place]["id"],
                "id": 900 * number + place,
            }
        )
    return found


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write_coco(folder: Path, split: str = "train") -> None:
    """The five archives of COCO 2017; images 100 to 111, and one, 112, that has no instances."""
    folder.mkdir(parents=True)
    numbers = list(range(100, 100 + IMAGES))
    described = [
        {
            "license": 1,
            "file_name": f"{number:012d}.jpg",
            "coco_url": "",
            "height": SIZE[0],
            "width": SIZE[1],
            "date_captured": "2013-11-14",
            "flickr_url": "",
            "id": number,
        }
        for number in [*numbers, 100 + IMAGES]
    ]
    about = {"info": {"year": 2017}, "licenses": [{"id": 1}], "images": described}
    annotations = [annotation for number in numbers for annotation in coco_annotations(number)]
    instances = {**about, "annotations": annotations, "categories": CATEGORIES}
    pictures = {f"{split}2017/{number:012d}.jpg": encode_jpeg(picture(number)) for number in [*numbers, 100 + IMAGES]}
    (folder / f"{split}2017.zip").write_bytes(zipped({f"{split}2017/": b"", **pictures}, zipfile.ZIP_STORED))
    inner = {f"annotations/instances_{split}2017.json": json.dumps(instances).encode()}
    (folder / "annotations_trainval2017.zip").write_bytes(zipped(inner))
    segments, maps, stuff = [], {}, {}
    for number in numbers:
        ids = np.zeros(SIZE, np.int64)
        for place, mask in enumerate(masks(number)):
            ids[mask > 0] = 70_000 + 300 * place + number
        rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        maps[f"panoptic_{split}2017/{number:012d}.png"] = encode_png(rgb)
        stuff[f"stuff_{split}2017_pixelmaps/{number:012d}.png"] = encode_png(
            np.where(ids > 0, 92, 183).astype(np.uint8)
        )
        info = [
            {"id": int(each), "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 1, 1], "area": 1}
            for each in np.unique(ids[ids > 0])
        ]
        segments.append({"segments_info": info, "file_name": f"{number:012d}.png", "image_id": number})
    panoptic = {**about, "annotations": segments, "categories": CATEGORIES}
    inner = {
        f"annotations/panoptic_{split}2017.json": json.dumps(panoptic).encode(),
        f"annotations/panoptic_{split}2017.zip": zipped({f"panoptic_{split}2017/": b"", **maps}),
    }
    (folder / "panoptic_annotations_trainval2017.zip").write_bytes(zipped(inner))
    inner = {
        f"annotations/stuff_{split}2017.json": b"{}",
        f"annotations/stuff_{split}2017_pixelmaps.zip": zipped(stuff),
    }
    (folder / "stuff_annotations_trainval2017.zip").write_bytes(zipped(inner))


def conversation(text: str) -> list[dict[str, str]]:
    """Two turns each."""
    turns = [("human", text), ("gpt", "a round thing"), ("human", "what colour is it?"), ("gpt", "red")]
    return [{"from": speaker, "value": value} for speaker, value in turns]


def write_llava_onevision(folder: Path) -> None:
    """One folder per subset, two files each, in row groups of eight; one subset is text alone, one has PNGs."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    turn = pa.struct([("from", pa.string()), ("value", pa.string())])
    schema = pa.schema(
        [("id", pa.string()), ("image", image), ("conversations", pa.list_(turn)), ("data_source", pa.string())]
    )
    for subset, count in SUBSETS.items():
        (folder / subset).mkdir(parents=True)
        rows = []
        for number in range(count):
            text = subset.startswith("magpie")
            encode = encode_png if subset == "textcaps" else encode_jpeg
            content = None if text else {"bytes": encode(picture(number)), "path": f"{number}.jpg"}
            turns = conversation(f"what is number {number}?" if text else f"<image>\nwhat is number {number}?")
            rows.append({"id": f"{number}", "image": content, "conversations": turns, "data_source": subset})
        for place, part in enumerate((rows[: count // 2], rows[count // 2 :])):
            path = folder / subset / f"train-{place:05d}-of-00002.parquet"
            pq.write_table(pa.Table.from_pylist(part, schema), path, row_group_size=8)


def write_depth_anything(folder: Path) -> None:
    """A Depth Anything that knows nothing, in the layout of the released ones."""
    backbone = Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=24, neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16, head_hidden_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    settings = {
        "size": {"height": 56, "width": 56},
        "ensure_multiple_of": 14,
        "keep_aspect_ratio": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def write_image_folders(folder: Path) -> None:
    """Two classes of five images as ImageNet has them, beside files that are none of its images."""
    for place, wnid in enumerate(("n03452741", "n04515003")):
        within = folder / "train" / wnid
        within.mkdir(parents=True)
        for number in range(5):
            (within / f"{wnid}_{10 * number}.JPEG").write_bytes(encode_jpeg(picture(10 * place + number)))
        (within / "._hidden.JPEG").write_bytes(b"?")
        (within / "notes.txt").write_text("?")


WRITERS = {"sam-sgt": write_sam_sgt, "coco-2017": write_coco, "llava-onevision": write_llava_onevision}
WRITERS |= {"depth-anything-v2-large": write_depth_anything, "pianos": write_image_folders}

if __name__ == "__main__":
    for name, write in WRITERS.items():
        write(Path(sys.argv[1]) / name)
