import multiprocessing

import pytest

from bundle import ProviderPolicy
from bundle.policy import CPU, CUDA, OPENVINO, TENSORRT, Demand


@pytest.mark.parametrize(
    ("spelling", "demand", "provider", "required"),
    [
        ("cpu", Demand.REQUIRE, CPU, CPU),
        ("cuda", Demand.REQUIRE, CUDA, CUDA),
        ("tensorrt", Demand.REQUIRE, TENSORRT, TENSORRT),
        ("openvino", Demand.REQUIRE, OPENVINO, OPENVINO),
        ("prefer:cuda", Demand.PREFER, CUDA, None),
        ("prefer:tensorrt", Demand.PREFER, TENSORRT, None),
        ("prefer:openvino", Demand.PREFER, OPENVINO, None),
        ("auto", Demand.ANY, CUDA, None),
    ],
)
def test_a_spelling_says_which_provider_and_how_much(spelling, demand, provider, required):
    policy = ProviderPolicy(spelling)
    assert (policy.demand, policy.provider, policy.required) == (demand, provider, required)
    assert str(policy) == spelling


@pytest.mark.parametrize("spelling", ["", "tpu", "CUDA", "prefer:cpu", "prefer:auto", "prefer:"])
def test_another_spelling_is_refused_with_those_that_there_are(spelling):
    with pytest.raises(ValueError, match=r"there are cpu, cuda, .*, prefer:openvino, auto"):
        ProviderPolicy(spelling)


def test_every_spelling_can_be_parsed():
    assert [str(ProviderPolicy(each)) for each in ProviderPolicy.spellings()] == [
        *ProviderPolicy.spellings()
    ]


def test_a_policy_can_be_sent_to_another_process():
    policy = ProviderPolicy("prefer:cuda", allow_tf32=True)
    here, there = multiprocessing.Pipe()
    here.send(policy)
    assert there.recv() == policy
