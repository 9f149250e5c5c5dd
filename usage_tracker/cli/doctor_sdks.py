"""What `usage-tracker doctor` finds of the installed SDKs: where each is watched, and where it can't be."""

import importlib
import warnings

from usage_tracker.choke_points import ChokePoint
from usage_tracker.cli.figures import counted
from usage_tracker.cli.findings import Findings
from usage_tracker.config import Settings
from usage_tracker.patching import Patches, version_of
from usage_tracker.pipeline import Pipeline
from usage_tracker.tracker import choke_points


def examine_sdks(settings: Settings, findings: Findings, *, each_place: bool) -> None:
    """Imports the installed SDKs, to see whether their choke points are where we expect them."""
    pipeline = Pipeline(settings)
    patches = Patches(choke_points(settings), pipeline.wrapper)
    patches.apply()
    sdks: list[dict[str, object]] = []
    findings.facts["sdks"] = sdks
    for sdk in dict.fromkeys(point.sdk for point in patches.points):
        version = version_of(sdk)
        points: list[dict[str, object]] = []
        sdks.append({"name": sdk, "version": version, "points": points})
        if version is None:
            findings.add(sdk, "not installed")
            continue
        for point in patches.points:
            if point.sdk == sdk:
                state, remedy = examine_choke_point(patches, point)
                points.append({"module": point.module, "attribute": point.attribute, "state": state, "remedy": remedy})
                if each_place or remedy:
                    findings.add(f"{sdk} {version}", f"{point.module}.{point.attribute}: {state}", remedy)
        if not each_place:
            watched = sum(point["state"] == "patched" for point in points)
            findings.add(f"{sdk} {version}", f"watched in {counted(watched, 'place')}")
    patches.revert()


def examine_choke_point(patches: Patches, point: ChokePoint) -> tuple[str, str | None]:
    """Its state and, where something is wrong, what to do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what SDKs say of Python versions and the like is not asked for here
            importlib.import_module(point.module)
    except ImportError as error:
        return "not in this version", None if point.optional else f"can't be imported: {error}"
    state = patches.states()[point]
    if state == "shape unknown":
        return state, "this version is not known yet: its calls are not counted; upgrade usage_tracker or pin the SDK"
    return state, None
