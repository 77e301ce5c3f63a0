from bundle.checks.device import device_of, gpu_names
from bundle.providers import CPU, OPENVINO


def test_the_gpus_of_this_machine_are_named_by_their_driver(tmp_path):
    for place, text in (
        ("0000:02:00.0", "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 5\n"),
        ("0000:01:00.0", "Model: \t\t NVIDIA T4\n"),
        ("0000:03:00.0", ""),
    ):
        (tmp_path / place).mkdir()
        (tmp_path / place / "information").write_text(text)
    assert gpu_names(tmp_path) == ["NVIDIA T4", "NVIDIA H100 80GB HBM3", "0000:03:00.0"]


def test_a_machine_without_that_driver_has_none(tmp_path):
    assert gpu_names(tmp_path / "none") == []


def test_openvino_runs_on_the_processor():
    assert device_of(OPENVINO) == device_of(CPU)
