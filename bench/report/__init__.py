"""Reports of a run: a table for the terminal, Markdown for documentation, HTML with plots."""

from pathlib import Path

from bench.report.html import page
from bench.report.text import markdown_table
from bench.results import Results


def write_reports(results: Results, output: Path, markdown: Path | None) -> list[Path]:
    """Write ``report.html``, and the Markdown table where a file is named for it.

    :return: what was written.
    """
    written = [output / "report.html"]
    written[0].write_text(page(results), encoding="utf-8")
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(markdown_table(results), encoding="utf-8")
        written.append(markdown)
    return written
