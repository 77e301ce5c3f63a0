"""Collected where ONNX Runtime was built with OpenVINO: `make test-openvino`."""

import onnxruntime

from bundle.providers import OPENVINO

collect_ignore_glob = [] if OPENVINO in onnxruntime.get_available_providers() else ["test_*.py"]
