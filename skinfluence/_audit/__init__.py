"""The audit command: reads a table, finds suspect labels, writes a report and a cleaned copy.

The options of the command line are defined in `skinfluence.__main__`. The labels are checked by the
public `NoisyLabelDetector`.
"""

from skinfluence._audit.csv_table import AuditError
from skinfluence._audit.job import Options, audit

__all__ = ["AuditError", "Options", "audit"]
