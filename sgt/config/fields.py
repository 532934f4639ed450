"""The kinds of value that study, model and benchmark files are made of."""

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Names become parts of file names, which may not be longer than 255 bytes.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
# What torch's and numpy's generators both take.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
# Of weights and of matrix products: fp32 and fp32, fp32 and bf16, bf16 and bf16.
Precision = Literal["fp32", "bf16-autocast", "bf16"]


def _folder(path: str) -> str:
    """Check that a folder's name means the same to the workflow, to a shell and to the file system."""
    if not path.strip() or path != path.strip() or not path.isprintable():
        raise ValueError(f"{path!r} is empty, has blanks around it, or characters that cannot be seen: rename it")
    if PurePath(path).parts[:1] and PurePath(path).parts[0].startswith(("~", "-")):
        raise ValueError(f"{path!r} begins with ~ or -, which stand for something else: write the folder out")
    if found := next((mark for mark in ("$", "{", "}", "\\", "://") if mark in path), None):
        raise ValueError(f"{path!r} holds {found!r}, and nothing is filled in here: use a folder without it")
    return path


Folder = Annotated[str, AfterValidator(_folder)]


class Strict(BaseModel):
    """Unknown keys are errors, numbers are finite, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
