"""For all tests: idle threads of torch sleep, because test processes share the cores."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
