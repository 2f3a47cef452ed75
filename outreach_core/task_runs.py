"""What the run that works on a task is called, for those who ask for one and for the run itself.

Nothing here knows how Dagster is asked: that is outreach_api/dagster_queue.py, or a sensor.
"""

from collections.abc import Mapping

LOCATION = "outreach"
"""As in workspace.yaml."""

JOB = "process_task_job"
OP = "task_outputs"
TASK_TAG = "outreach/task"
"""On every run that was asked for, for one task: its id."""


def run_config_of(task_id: str) -> Mapping[str, object]:
    """What such a run is told."""
    return {"ops": {OP: {"config": {"task_id": task_id}}}}
