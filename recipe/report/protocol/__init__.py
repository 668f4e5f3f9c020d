"""The report of a comparison: a page of its own with interactive charts, and its Markdown twin."""

from recipe.report.protocol.write import write_protocol_report

__all__ = ["write_protocol_report"]
