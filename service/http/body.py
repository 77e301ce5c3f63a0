"""What the JSON documents of replies and requests have in common. Is none itself."""

import ast
import inspect
import textwrap
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["Body"]


class Body(BaseModel):
    """A JSON document, whose fields are described by the strings below them.

    They are read when the OpenAPI document is asked for. pydantic reads them when a class is made
    (``use_attribute_docstrings``), which took a fifteenth of the time to the start.
    """

    model_config = ConfigDict(protected_namespaces=())

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema, and the descriptions."""
        document = handler(schema)
        properties = handler.resolve_ref_schema(document).get("properties", {})
        for name, description in _descriptions(cls).items():
            properties[name].setdefault("description", description)
        return document


def _descriptions(cls: type[Body]) -> dict[str, str]:
    """By the names of the fields that have one."""
    source = textwrap.dedent(inspect.getsource(cls))
    described = {}
    for field, below in pairwise(ast.iter_child_nodes(ast.parse(source).body[0])):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                described[name] = inspect.cleandoc(text)
    return described
