import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from exporters.errors import InputsInvalid, ModelNotCopyable
from exporters.prepare import copy_in_eval, merge_weights, quiet_state, unwrap
from tests.exporters.networks import ConvNet, DeafToEval

pytestmark = pytest.mark.filterwarnings(
    # the hook-based weight norm is what these tests are about
    "ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning"
)


def weight_normed():
    return nn.utils.weight_norm(nn.Linear(3, 4))


def spectral_normed():
    layer = nn.utils.spectral_norm(nn.Linear(3, 4))
    layer(torch.ones(2, 3))
    return layer


PARAMETRIZED = [
    lambda: parametrizations.weight_norm(nn.Linear(3, 4)),
    lambda: parametrizations.spectral_norm(nn.Linear(3, 4)),
    lambda: parametrizations.orthogonal(nn.Linear(3, 3)),
    weight_normed,
    spectral_normed,
]


def test_a_copy_is_what_eval_makes_of_the_model():
    twin = copy_in_eval(ConvNet().train())

    assert not any(module.training for module in twin.modules())
    assert not any(parameter.requires_grad for parameter in twin.parameters())


def test_what_eval_leaves_in_training_mode_stays_there_in_a_copy():
    twin = copy_in_eval(DeafToEval().train())

    assert not twin.training
    assert twin.bn.training


def test_a_model_with_a_tensor_that_autograd_computed_is_copied():
    model = weight_normed()
    model(torch.ones(1, 3))
    assert not model.weight.is_leaf

    assert torch.equal(copy_in_eval(model).weight, model.weight)


def test_a_model_that_python_cannot_copy_is_refused():
    model = nn.Linear(2, 2)
    model.stream = (line for line in ())

    with pytest.raises(ModelNotCopyable, match=r"Linear cannot be copied.*generator"):
        copy_in_eval(model)


def test_a_lazy_model_is_refused():
    with pytest.raises(ModelNotCopyable, match=r"'0\.weight' has no values yet"):
        copy_in_eval(nn.Sequential(nn.LazyLinear(2)))


@pytest.mark.parametrize("make", PARAMETRIZED)
def test_a_merged_weight_computes_what_its_parametrization_did(make):
    model = make().eval()
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    twin = copy_in_eval(model)

    (merged,) = merge_weights(twin)

    assert (merged.module, merged.parameter, merged.name) == ("", "weight", "weight")
    assert [*dict(twin.named_parameters())] == ["bias", "weight"]
    torch.testing.assert_close(twin(x), model(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", PARAMETRIZED)
def test_merging_a_copy_leaves_the_original_parametrized(make):
    model = make().eval()
    before = copy.deepcopy(model.state_dict())
    expected = model(torch.ones(1, 3)).detach()

    merge_weights(copy_in_eval(model))

    assert model.state_dict().keys() == before.keys()
    assert torch.equal(model(torch.ones(1, 3)), expected)


def test_a_merged_weight_is_computed_in_float64_and_rounded_once():
    model = parametrizations.weight_norm(nn.Linear(1000, 4)).eval()
    wide = copy.deepcopy(model).double().weight

    merge_weights(model)

    assert torch.equal(model.weight, wide.float())


def test_every_weight_of_an_lstm_is_merged_and_used():
    lstm = parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0")
    parametrizations.weight_norm(lstm, "weight_ih_l0")
    lstm.eval()
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    twin = copy_in_eval(lstm)

    merged = merge_weights(twin)

    assert {weight.parameter for weight in merged} == {"weight_hh_l0", "weight_ih_l0"}
    assert {weight.kind for weight in merged} == {"WeightNorm"}
    torch.testing.assert_close(twin(x)[0], lstm(x)[0], rtol=0, atol=1e-6)


def test_a_spectral_norm_in_training_mode_is_not_merged():
    assert merge_weights(parametrizations.spectral_norm(nn.Linear(3, 4)).train()) == ()


def test_wrappers_around_a_model_are_taken_off():
    inner = nn.Linear(2, 2)

    assert unwrap(nn.DataParallel(inner)) is inner
    assert unwrap(torch.compile(inner, backend="eager")) is inner


def test_what_is_no_module_is_refused():
    with pytest.raises(InputsInvalid, match=r"is a function; it must be an nn\.Module"):
        unwrap(unwrap)


def test_random_generators_stand_where_they_stood():
    def draws():
        return torch.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002, S311

    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator is what the model could draw from
    expected = draws()
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002

    with quiet_state():
        draws()

    assert draws() == expected
