"""What Prometheus learns from workflows. The SDK leaves replays out, so that nothing counts twice."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.step import Step


def count(counter: str, description: str, by: int = 1, **labels: str) -> None:
    workflow.metric_meter().create_counter(counter, description).add(by, labels)


def ended(counter: str, end: str) -> None:
    """An operation is over: active, error, cancelled, deleted (gave way to a delete) or refused."""
    count(counter, "Operations that are over, by how they ended", end=end)


def stepped(step: Step) -> None:
    """A step is over. No label names a host: a cloud has too many."""
    labels = {"step": step.event, "result": (step.result or "").lower()}
    seconds = ((step.finish_time or step.start_time) - step.start_time).total_seconds()
    workflow.metric_meter().create_histogram_float(
        "kilonova_step_seconds", "Duration of steps, of the last try where a host did it", "s"
    ).record(max(seconds, 0.0), labels)
    if step.attempt > 1:
        count(RETRIES, "Tries of steps beyond the first", step.attempt - 1, step=step.event)


RETRIES = "kilonova_step_retries_total"
