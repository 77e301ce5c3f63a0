"""For all tests: idle threads of torch sleep, because test processes share the cores; servers take
a free port for their metrics, because they run side by side."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
os.environ.setdefault("NORMSERVE_METRICS_PORT", "0")
