"""Judges that are loaded: vision-language models of transformers, which decode greedily, one question at a time."""

import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from sgt.data.identity import fetched_content
from sgt.evaluation.evaluators.judge_calls import Answer, Backend, Call, Kept

# Raise it when replies may change.
VERSION = 1


class LocalJudge(Backend):
    """A fetched checkpoint with its processor and chat template.

    Args:
        folder: of the checkpoint.
        replies: folder of raw replies.
    """

    def __init__(self, folder: Path, replies: Path) -> None:
        self.folder = folder
        self.kept = Kept(replies, {"checkpoint": fetched_content(folder), "version": VERSION})

    def identity(self) -> dict[str, Any]:
        """The content of the checkpoint."""
        return self.kept.judge

    def ask(self, calls: Sequence[Call]) -> list[Answer]:
        """The answers, in order."""
        answers = []
        for call in calls:
            reply = self.kept.get(call)
            if reply is None:
                reply = {"text": self._generate(call)}
                self.kept.put(call, reply)
            answers.append(Answer("ok", reply["text"], self.folder.name, self.kept.name(call)))
        return answers

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The processor, and the model on a GPU if there is one."""
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        where = {"local_files_only": True, "trust_remote_code": False}
        model: Any = AutoModelForImageTextToText.from_pretrained(
            self.folder, dtype=dtype, use_safetensors=True, **where
        )
        return AutoProcessor.from_pretrained(self.folder, **where), model.to(device).eval()

    def _generate(self, call: Call) -> str:
        import torch

        processor, model = self._loaded
        images = [Image.open(io.BytesIO(picture.data)).convert("RGB") for picture in call.pictures]
        user = [{"type": "text", "text": call.text}, *({"type": "image", "image": image} for image in images)]
        system = [{"role": "system", "content": [{"type": "text", "text": call.system}]}] if call.system else []
        inputs = processor.apply_chat_template(
            [*system, {"role": "user", "content": user}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device)
        with torch.inference_mode():
            made = model.generate(**inputs, max_new_tokens=call.max_tokens, do_sample=False)
        return processor.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
