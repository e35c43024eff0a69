"""What a drawn figure says."""

from matplotlib.figure import Figure

from servegrid.report.settings import Settings

PLAIN = Settings()


def footnotes(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in figure.texts)


def panel_texts(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for axes in figure.axes for text in axes.texts)
