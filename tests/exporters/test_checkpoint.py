import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from exporters import CheckpointInvalid, load_checkpoint


class Opaque:
    """Anything that a pickle would have to import."""


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return nn.Linear(3, 2).state_dict()


def save(state, path):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.ckpt"])
def test_weights_are_loaded_and_the_files_digest_returned(name, weights, tmp_path):
    module = nn.Linear(3, 2)

    digest = load_checkpoint(module, save(weights, tmp_path / name))

    assert torch.equal(module.weight, weights["weight"])
    assert len(digest) == 64


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_state_dict_within_a_training_checkpoint_is_found(key, weights, tmp_path):
    module = nn.Linear(3, 2)

    load_checkpoint(module, save({key: weights, "epoch": 3}, tmp_path / "w.pt"))

    assert torch.equal(module.weight, weights["weight"])


def test_a_pickle_that_needs_more_than_tensors_is_refused_and_not_run(weights, tmp_path):
    path = save({**weights, "config": Opaque()}, tmp_path / "w.pt")

    with pytest.raises(CheckpointInvalid, match=r"could run code \(.*Opaque"):
        load_checkpoint(nn.Linear(3, 2), path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("bias"), "missing bias"),
        (lambda w: w.update(extra=torch.ones(1)), "unexpected extra"),
        (lambda w: w.update(weight=torch.ones(2, 4)), r"weight \(2, 4\) for \(2, 3\)"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_and_nothing_is_loaded(
    change, said, weights, tmp_path
):
    module = nn.Linear(3, 2)
    before = module.weight.clone()
    change(weights)

    with pytest.raises(CheckpointInvalid, match=said):
        load_checkpoint(module, save(weights, tmp_path / "w.safetensors"))

    assert torch.equal(module.weight, before)


def test_many_missing_keys_are_summed_up(tmp_path):
    path = save({"x": torch.ones(1)}, tmp_path / "w.safetensors")

    with pytest.raises(CheckpointInvalid, match=r"missing .* and 3 more"):
        load_checkpoint(nn.Sequential(*(nn.Linear(1, 1) for _ in range(4))), path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.pt", None, "there is no checkpoint file"),
        ("w.onnx", b"", "neither .safetensors nor a torch file"),
        ("w.safetensors", b"nonsense", "is no safetensors file"),
        ("w.pt", b"nonsense", "w.pt'"),
        ("w.pt", b"", "is no torch checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_refused(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(CheckpointInvalid, match=said):
        load_checkpoint(nn.Linear(3, 2), tmp_path / name)


def test_a_file_of_something_else_than_weights_is_refused(tmp_path):
    with pytest.raises(CheckpointInvalid, match="holds a list; a checkpoint is a state_dict"):
        load_checkpoint(nn.Linear(3, 2), save([torch.ones(1)], tmp_path / "w.pt"))


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        (lambda w: w.to(torch.int64), "int64 for float"),
        (lambda w: w.to(torch.complex64), "complex64 for float"),
        (lambda w: w.to_sparse(), "sparse float for float"),
        (lambda w: w.to("meta"), "float without data for float"),
    ],
)
def test_tensors_of_another_kind_are_refused_before_anything_is_loaded(
    strange, said, weights, tmp_path
):
    module = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    path = save({**weights, "weight": strange(weights["weight"])}, tmp_path / "w.pt")

    with pytest.raises(CheckpointInvalid, match=f"of another kind weight {said}"):
        load_checkpoint(module, path)

    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_width_are_taken(dtype, weights, tmp_path):
    module = nn.Linear(3, 2)

    load_checkpoint(module, save({n: w.to(dtype) for n, w in weights.items()}, tmp_path / "w.pt"))

    assert torch.allclose(module.weight, weights["weight"], atol=1e-2)


def test_what_is_refused_is_named_without_advice_to_load_it_all_the_same(weights, tmp_path):
    path = save({**weights, "config": Opaque()}, tmp_path / "w.pt")

    with pytest.raises(CheckpointInvalid) as caught:
        load_checkpoint(nn.Linear(3, 2), path)

    assert "weights_only" not in str(caught.value)
    assert "safe_globals" not in str(caught.value)
