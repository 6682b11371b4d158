import subprocess
import sys


def test_no_optional_package_is_loaded_with_the_room() -> None:
    code = "import sys, lepton_ai.data, lepton_ai.datasets; print([m for m in sys.argv[1:] if m in sys.modules])"
    optional = ["pandas", "pyarrow", "mlxtend", "sklearn", "scipy", "soundfile", "av", "datasets"]
    done = subprocess.run([sys.executable, "-c", code, *optional], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
