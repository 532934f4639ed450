"""A judge that is loaded: a real model of transformers with random weights, whose replies are kept and not trusted."""

from pathlib import Path

import pytest
from PIL import Image

from sgt.config.judges import Judge
from sgt.errors import SgtError
from sgt.evaluation.evaluators import judge_kit
from sgt.evaluation.evaluators.judge_calls import Call, png
from sgt.evaluation.evaluators.local_judge import LocalJudge
from sgt.evaluation.evaluators.vision_judge import VisionJudge
from tests.evaluation import local_vlm
from tests.evaluation.tasks.published import record_fetched
from tests.evaluation.test_endpoint import Cups


@pytest.mark.slow
def test_it_answers_keeps_its_replies_and_does_not_pass(tmp_path, monkeypatch):
    folder, replies = tmp_path / "judge", tmp_path / "replies"
    local_vlm.write(folder)
    record_fetched(folder)
    pictures = [png(Image.new("RGB", (20, 12), colour)) for colour in ("red", "blue")]
    calls = [Call("look cup", pictures, 5, system="look"), Call("look cup", pictures[:1], 5)]
    judge = LocalJudge(folder, replies)
    answers = judge.ask(calls)
    assert [answer.outcome for answer in answers] == ["ok", "ok"] and answers[0].model == "judge"
    assert all(set(answer.text.split()) <= set(local_vlm.WORDS) for answer in answers)
    monkeypatch.setattr(LocalJudge, "_generate", lambda self, call: pytest.fail("a reply that is kept was made again"))
    assert LocalJudge(folder, replies).ask(calls) == answers
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    record_fetched(folder)
    assert LocalJudge(folder, replies).identity() != judge.identity(), "other weights are another judge"
    monkeypatch.undo()
    monkeypatch.setattr(judge_kit, "kit", lambda pairs, kit=judge_kit.kit: kit(pairs)[:4])
    with pytest.raises(SgtError, match="of 4 replies about pictures with known content are right"):
        VisionJudge(Cups(), Judge(checkpoint=str(folder)), Path(replies)).prove()
