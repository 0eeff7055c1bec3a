"""The audit command: reads a table, finds suspect labels, writes a report and a cleaned copy.

The options of the command line are in `skinfluence.__main__`; the detector is public.
"""

from skinfluence._audit.csv_table import AuditError
from skinfluence._audit.job import Options, audit

__all__ = ["AuditError", "Options", "audit"]
