"""`import usage_tracker.auto`: record every model call of this process, set up from TRACKER_* variables. Never
raises."""

from usage_tracker.guard import guarded
from usage_tracker.tracker import install_from_environment

with guarded("install"):
    install_from_environment()
