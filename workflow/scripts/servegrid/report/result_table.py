"""The rows of a report: every point of the sweep and the published rows, read once for all that shows them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from servegrid.report.published import with_published
from servegrid.report.settings import Settings
from servegrid.results.points import PUBLISHED, prepare_points, read_result_table


@dataclass(frozen=True)
class ResultTable:
    """The result tables and the settings to show them by.

    Attributes:
        rows: points in the form that `results.points.prepare_points` gives them, each published row after the measured one of
            the same point; `source` names the publication, empty for measured rows.
        settings: of the report, with the axes that only published rows have.
        sessions: results/sessions, one row per point and session; without rows where it was not asked for.
    """

    rows: pd.DataFrame
    settings: Settings
    sessions: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, points: pd.DataFrame, settings: Settings, sessions: pd.DataFrame | None = None) -> "ResultTable":
        """Result table from results/points and, for intervals over sessions, results/sessions."""
        points, settings = with_published(points, settings)
        return cls(
            prepare_points(points, settings.all_axes), settings, pd.DataFrame() if sessions is None else sessions
        )

    @classmethod
    def read(cls, points: Path, config: Path, sessions: Path | None = None, published: bool = True) -> "ResultTable":
        """Result table from the files of a results folder; without `published`, measured rows only.

        Raises:
            OSError, ValueError: a file cannot be read, or a published table is not one.
        """
        settings = Settings.read(config) if published else replace(Settings.read(config), published=())
        return cls.of(read_result_table(points), settings, None if sessions is None else read_result_table(sessions))

    @property
    def measured(self) -> pd.DataFrame:
        """Rows without the published ones."""
        return self.rows[self.rows["status"] != PUBLISHED]
