"""What conda installs is what pip installs."""

from sgt.atomic import sha256
from tests.workflow.conftest import ROOT


def test_the_conda_environment_is_made_anew_when_the_lock_changes():
    script = (ROOT / "workflow/envs/sgt.post-deploy.sh").read_text()
    assert sha256(ROOT / "requirements.lock") in script, "requirements.lock has changed: run `make lock`"
