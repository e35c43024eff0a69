"""Draw the timeline of one or more sessions: telemetry with start-up, loads and stop marked."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    """Write `<out>/<server>/<rep>.<format>` for every session."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "sessions", type=Path, nargs="*", metavar="SESSION", help="folder of a session, or its session.json"
    )
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    parser.add_argument("--out", type=Path, required=True, help="folder for the timelines")
    args = parser.parse_args(argv)
    write_timelines(args.sessions, args.config, args.out)


def write_timelines(sessions: Iterable[Path], config: Path, out: Path) -> None:
    """Draw and write the timelines, each file whole or not at all; a session without a readable record is skipped."""
    from servegrid.report.drawing.style import render
    from servegrid.report.settings import Settings
    from servegrid.report.timeline.recording import read_recording
    from servegrid.report.timeline.timeline import draw_timeline
    from servegrid.util.files import write_atomic

    settings = Settings.read(config)
    for session in sessions:
        folder = session.parent if session.name == "session.json" else session
        try:
            recording = read_recording(folder)
        except (OSError, ValueError, LookupError) as error:
            print(f"no timeline of {folder}: {error!r}", file=sys.stderr)
            continue
        figure = draw_timeline(recording)
        for file_format in settings.formats:
            path = out / folder.parent.name / f"{folder.name}.{file_format}"
            write_atomic(path, render(figure, file_format, f"{settings.title}: {recording.name}"))


if __name__ == "__main__":
    main()
