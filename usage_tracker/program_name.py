"""What the program that runs is called, where nobody has named it."""

import os
import sys
from pathlib import Path

STARTED_BY = "_USAGE_TRACKER_STARTED_BY"
"""The variable in which `usage-tracker run` lets a program tell those that it starts its name."""
JOBLIBS = "popen_loky_posix.py"
"""What joblib's processes begin with:
https://github.com/joblib/loky/blob/master/loky/backend/popen_loky_posix.py"""


def program_name() -> str:
    """The name of the program that runs: its script or module, as the process list would show it. What has none, such
    as a process that multiprocessing or joblib spawns, is part of the program that started it."""
    main = sys.argv[0] if sys.argv else ""
    if main == "-m":
        main = sought_module()
    if main in ("", "-c", JOBLIBS):
        return os.environ.get(STARTED_BY) or "python"
    path = Path(main)
    return path.parent.name if path.name == "__main__.py" else path.name


def sought_module() -> str:
    """What `-m` names, as its file will be called; under `usage-tracker run`, Python has not looked for it yet."""
    word = "".join(sys.orig_argv[-len(sys.argv) :][:1])
    place = (word.partition("m")[2] if word.startswith("-") else word).replace(".", "/")
    is_file = any(Path(folder, f"{place}.py").is_file() for folder in ("", *sys.path))
    return Path(place).name + ".py" * is_file
