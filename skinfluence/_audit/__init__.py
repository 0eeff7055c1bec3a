"""The audit command: reads a table, finds suspect labels, writes a report and a cleaned copy.

The options of the command line are defined in `options.py`. The labels are checked by the
public `NoisyLabelDetector`. A person reviews the suspects in report.html; the command `apply`
writes the reviewed table.
"""

from skinfluence._audit.job import audit, audit_table
from skinfluence._audit.options import Options
from skinfluence._audit.review.apply import ApplyOptions, apply
from skinfluence._audit.table import AuditError

__all__ = ["ApplyOptions", "AuditError", "Options", "apply", "audit", "audit_table"]
