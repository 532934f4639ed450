import subprocess
import sys

import pytest

# What the start of a job must not load: each takes tens of milliseconds, or seconds, in every job of a study.
HEAVY = ("torch", "transformers", "scipy", "pandas", "pyarrow", "matplotlib", "jinja2", "sgt.reporting")


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("sgt.commands.score", ()),
        ("sgt.commands.render", ()),
        ("sgt.commands.predict", ("torch",)),
        ("sgt.reporting.console", ("pandas", "pyarrow", "sgt.reporting")),
    ],
)
def test_a_command_loads_only_what_it_needs(module, needed):
    code = f"import sys, {module}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*HEAVY} & {*done.stdout.split()} <= {*needed}
