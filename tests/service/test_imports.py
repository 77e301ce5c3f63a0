import subprocess
import sys

HEAVY = ("torch", "onnxscript", "onnx_ir", "exporters", "models", "pandas", "scipy", "matplotlib")


def test_the_service_is_imported_without_torch():
    program = f"import sys, service, service.http; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_importing_the_service_reads_no_environment_and_logs_nothing():
    program = "import service, logging; print(logging.getLogger().handlers)"
    environment = {"NORMSERVE_NO_SUCH_SETTING": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
