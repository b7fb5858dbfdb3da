"""Virtual environments of the other libraries, created on first use in `.bench/`."""

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
HOME: Final = ROOT / ".bench"


def python(name: str, requirements: Sequence[str]) -> Path:
    """Return the Python of a virtual environment, and create the environment if needed.

    Args:
        name: Folder name of the environment.
        requirements: Pinned packages; empty for this process's own environment.

    Returns:
        Path of the Python executable.

    Raises:
        subprocess.CalledProcessError: The packages cannot be installed.
    """
    if not requirements:
        return Path(sys.executable)
    home = HOME / name
    executable, stamp = home / "bin/python", home / "installed.txt"
    expected = "\n".join([sys.version, *requirements])
    if not stamp.exists() or stamp.read_text() != expected:
        print(f"installing {name}", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(executable), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
        subprocess.run([*pip, *requirements], check=True)
        stamp.write_text(expected)
    return executable
