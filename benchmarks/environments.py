"""A virtual environment for each other library, made when it is first needed, in `.bench/`."""

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
HOME: Final = ROOT / ".bench"


def python(name: str, requirements: Sequence[str]) -> Path:
    """The Python in which `requirements` are installed; this one where there are none.

    Raises subprocess.CalledProcessError when they cannot be installed.
    """
    if not requirements:
        return Path(sys.executable)
    home = HOME / name
    found, stamp = home / "bin/python", home / "installed.txt"
    wanted = "\n".join([sys.version, *requirements])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {name}", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(found), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
        subprocess.run([*pip, *requirements], check=True)
        stamp.write_text(wanted)
    return found
