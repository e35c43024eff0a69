"""Evidence from result tables made by tests."""

import pandas as pd

from servegrid.report.evidence import Evidence
from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings


def evidence_of(points: pd.DataFrame, sessions: pd.DataFrame, settings: Settings) -> Evidence:
    return Evidence.of(ResultTable.of(points, settings, sessions))
