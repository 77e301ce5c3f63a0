"""A server as tutorials write it: FastAPI, a pydantic body, the session in an executor.

MODEL=model.onnx uvicorn naive:app
"""

import asyncio
import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

session = onnxruntime.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])
dtype = np.int64 if session.get_inputs()[0].type == "tensor(int64)" else np.float32
app = FastAPI()


class Question(BaseModel):
    """Nested lists, as clients have them."""

    data: list[Any]


class Answer(BaseModel):
    """The same."""

    data: list[list[float]]


@app.post("/predict")
async def predict(question: Question) -> Answer:
    """Compute."""
    array = np.array(question.data, dtype=dtype)
    loop = asyncio.get_running_loop()
    (output,) = await loop.run_in_executor(None, lambda: session.run(None, {"x": array}))
    return Answer(data=output.tolist())


@app.get("/empty")
async def empty() -> dict[str, str]:
    """What the framework itself costs."""
    return {}
