"""A hook of mkdocs: a page per subcommand of `tiae`, written from its parser, and a look at what pages would load.

`<!-- subcommands -->` in reference/cli.md becomes a table with links to these pages.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
INDEX = "reference/cli.md"
MARK = "<!-- subcommands -->"
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"https?://[^\"]*|<link\b[^>]*\brel=\"?(?:stylesheet|preconnect)[^>]*https?://[^>]*"
)


def on_config(config: Any) -> None:
    """The subcommands' pages, below the one that is written by hand."""
    for section in config.nav:
        for entry in section.get("Reference", []):
            if "Command line" in entry:
                entry["Command line"] = [INDEX, *({f"tiae {name}": source(name)} for name in parsers())]


def on_files(files: Any, config: Any) -> None:
    for name, parser in parsers().items():
        files.append(File.generated(config, source(name), content=page(name, parser)))


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    if page.file.src_uri != INDEX:
        return markdown
    rows = [f"| [`tiae {name}`](cli/{Path(source(name)).name}) | {helps()[name]} |" for name in parsers()]
    return markdown.replace(MARK, "\n".join(["| command | what it does |", "|---|---|", *rows]))


def on_post_build(config: Any) -> None:
    """Raises PluginError when a page would load something from another host."""
    for built in sorted(Path(config.site_dir).rglob("*.html")):
        found = LOADED.search(built.read_text("utf-8"))
        if found:
            raise PluginError(f"{built} loads from another host: {found[0]}; bring it along, or leave it out")


def source(name: str) -> str:
    """Where the page of a subcommand is."""
    return f"reference/cli/{name.replace(' ', '-')}.md"


@functools.cache
def subcommands() -> Any:
    sys.path[:0] = [
        str(ROOT),
        str(ROOT / "training"),
    ]  # here: mkdocs puts back what a hook does to it when it is loaded
    from tiae_ros.cli import build_parser

    return next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))


def parsers() -> dict[str, argparse.ArgumentParser]:
    return dict(subcommands().choices)


def helps() -> dict[str, str]:
    """Subcommand -> the line that `tiae --help` has for it."""
    return {choice.dest: choice.help for choice in subcommands()._choices_actions}


def page(name: str, parser: argparse.ArgumentParser) -> str:
    """Description, usage, arguments and examples of a subcommand, Markdown."""
    formatter = parser._get_formatter()  # as --help, which may add defaults
    usage = parser.format_usage().partition(":")[2]
    lines = [f"# tiae {name}", "", parser.description or "", "", "## Usage", "", "```text", usage.strip(), "```", ""]
    rows = [
        f"| {invocation(action, formatter)} | {meaning(action, formatter)} |"
        for action in parser._actions
        if action.help != argparse.SUPPRESS and action.dest != "help"
    ]
    lines += ["## Arguments", "", "| argument | meaning |", "|---|---|", *rows, ""]
    examples = (parser.epilog or "").partition("examples:\n")[2]
    lines += ["## Examples", "", "```text", examples, "```", ""]
    return "\n".join(lines)


def invocation(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    return f"`{formatter._format_action_invocation(action)}`"


def meaning(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    text = " ".join(formatter._expand_help(action).split()) if action.help else ""
    return text.replace("|", "\\|").replace("<", "&lt;")
