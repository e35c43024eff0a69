"""What figures share: sheet, panels, curves, style, footnotes."""
