"""What a run and its evaluation found, as JSON, text and pictures."""

from recipe.report.results import TaskResult, aggregate, aggregate_primary, load_results, load_steps
from recipe.report.write import write_report

__all__ = ["TaskResult", "aggregate", "aggregate_primary", "load_results", "load_steps", "write_report"]
