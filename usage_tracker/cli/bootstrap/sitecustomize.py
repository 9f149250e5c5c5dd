"""Found first by an interpreter that `usage-tracker run` starts: installs the tracker, then makes way for the
environment's own `sitecustomize`, if it has one."""

import importlib.machinery
import importlib.util
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]

if importlib.util.find_spec("usage_tracker") is None:
    sys.stderr.write(f"usage-tracker: calls are not recorded: it has to be installed for {sys.executable}, too\n")
else:
    import usage_tracker.auto  # noqa: F401  the import is the installation
    from usage_tracker.program_name import STARTED_BY, program_name

    os.environ[STARTED_BY] = program_name()

own = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
if own is not None and own.loader is not None:
    module = importlib.util.module_from_spec(own)
    sys.modules["sitecustomize"] = module
    own.loader.exec_module(module)
