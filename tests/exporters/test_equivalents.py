import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.nn import functional

from bundle import open_model
from exporters.convert import convert

torch.set_num_threads(1)


class Attention(nn.Module):
    def forward(self, x, mask):
        heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
        return functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=mask)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
@pytest.mark.parametrize("shape", [(3, 1, 1, 5), (3, 1, 5, 5), (3, 1, 5, 1), (3, 2, 5, 5)])
def test_attention_masks_are_broadcast_over_heads_queries_and_keys(shape, dtype):
    torch.manual_seed(0)
    x, mask = torch.randn(3, 5, 8), (torch.rand(shape) > 0.3).to(dtype)
    length = {axis: "length" for axis, size in enumerate(shape) if size == 5}

    converted = convert(
        Attention(),
        (x, mask),
        dynamic_shapes={"x": {0: "batch", 1: "length"}, "mask": {0: "batch", **length}},
    )

    got = open_model(ir.to_proto(converted.model)).run({"x": x.numpy(), "mask": mask.numpy()})
    torch.testing.assert_close(
        torch.from_numpy(got["output"]), Attention()(x, mask), rtol=0, atol=1e-6, equal_nan=True
    )


@pytest.mark.parametrize(
    ("shape", "mask"),
    [
        ((6, 8), None),
        ((6, 8), (6, 6)),
        ((6, 8), (1, 6, 6)),
        ((4, 2, 6, 8), None),
        ((4, 2, 6, 8), (6, 6)),
        ((4, 2, 6, 8), (4, 1, 6, 6)),
        ((4, 2, 6, 8), (1, 4, 2, 1, 6)),
    ],
)
def test_attention_has_four_axes_in_the_file_however_many_the_model_has(shape, mask):
    bias = None if mask is None else torch.randn(mask)

    class Windows(nn.Module):
        def forward(self, x):
            return functional.scaled_dot_product_attention(x, x.sin(), x.cos(), attn_mask=bias)

    converted = convert(Windows(), torch.randn(2, *shape))

    (attention,) = [n for n in converted.model.graph.all_nodes() if n.op_type == "Attention"]
    assert len(attention.inputs[0].shape) == 4
    opened = open_model(ir.to_proto(converted.model))
    for batch in (1, 3):
        x = torch.randn(batch, *shape)
        got = torch.from_numpy(opened.run({"x": x.numpy()})["output"])
        torch.testing.assert_close(got, Windows()(x), rtol=0, atol=1e-6)
