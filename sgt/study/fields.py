"""The kinds of value that study, model and benchmark files are made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
# Of weights and of matrix products: fp32 and fp32, fp32 and bf16, bf16 and bf16.
Precision = Literal["fp32", "bf16-autocast", "bf16"]


class Strict(BaseModel):
    """Unknown keys are errors and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
