"""The settings of a step that calls another flow."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, WithJsonSchema

from hookline.model.flow import EXPRESSION_SCHEMA, FLOW_ID

HeadersExpression = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, EXPRESSION_SCHEMA]}},
                EXPRESSION_SCHEMA,
            ]
        }
    ),
]
"""Headers by name, each a text or an expression, or an expression that gives them."""


class CallSettings(BaseModel):
    """What a step says that calls another flow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=FLOW_ID, description="The flow's id, written out: no message chooses it.")
    wait: StrictBool = Field(
        default=True,
        description="Whether the step waits for the flow's end, and gives its last body; otherwise it goes on at once.",
    )
    body: Any = Field(default=None, description="The body that the flow gets; the current one by default.")
    headers: HeadersExpression = Field(
        default=None, description="The headers that the flow gets; the current ones by default."
    )
