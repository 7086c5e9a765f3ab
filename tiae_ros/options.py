"""How `tiae` reads its options: complaints of one line, help with the real defaults, and options from a YAML file."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

_NOT_IN_A_FILE = ("help", "config", "resume", "overwrite")  # they are for this run alone


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line (argparse puts the usage in front of it)."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see `{self.prog} --help`)\n")

    # Subcommands are parsed by this, too.
    def parse_known_args(self, args: Any = None, namespace: Any = None, **hidden: Any) -> Any:
        if "--config" in self._option_string_actions and args is not None:
            args = self._with_config(list(args))
        return super().parse_known_args(args, namespace, **hidden)

    def _with_config(self, words: list[str]) -> list[str]:
        """The words with those of the file that --config names before them, so that the command line has the last."""
        asking = argparse.ArgumentParser(add_help=False)
        asking.add_argument("--config", nargs="?")
        asked = asking.parse_known_args(words)[0].config
        return words if asked is None else [*self._words_of(asked), *words]

    def _words_of(self, file: str) -> list[str]:
        """The options of a file as words of a command line."""
        words: list[str] = []
        for name, value in self._read(file).items():
            action = self._option_string_actions.get(f"--{name}") if isinstance(name, str) else None
            if action is None or name in _NOT_IN_A_FILE:
                known = sorted(option[2:] for option in self._option_string_actions if option.startswith("--"))
                accepted = ", ".join(n for n in known if n not in _NOT_IN_A_FILE and not n.startswith("no-"))
                self.error(f"{file} has the option {name!r}; accepted are {accepted}")
            if value is None:
                continue
            if action.nargs == 0:
                if not isinstance(value, bool):
                    self.error(f"{file}: {name} is {value!r}; accepted is true or false")
                opposite = f"--no-{name}"
                if value or opposite in action.option_strings:
                    words.append(f"--{name}" if value else opposite)
            elif isinstance(value, list) and action.nargs is not None:
                words += [f"--{name}", *map(str, value)]
            elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
                words += [f"--{name}={value}"] if action.nargs is None else [f"--{name}", str(value)]
            else:
                self.error(f"{file}: {name} is {value!r}; accepted is what --{name} takes")
        return words

    def _read(self, file: str) -> dict[Any, Any]:
        import yaml

        try:
            with open(file, encoding="utf-8") as stream:
                content = yaml.safe_load(stream)
        except OSError as error:
            self.error(f"--config {file} cannot be read: {error.strerror or error}")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self.error(f"--config {file} is no YAML: {' '.join(str(error).split())[:200]}")
        if content is None:
            return {}
        if not isinstance(content, dict):
            self.error(f"--config {file} holds a {type(content).__name__}; accepted are lines like `epochs: 40`")
        return content


class DefaultsInHelp(argparse.RawDescriptionHelpFormatter):
    """Help that says every option's real default, in one form."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return with_default(action.help or "", action)


def with_default(text: str, action: argparse.Action) -> str:
    """The help of an option with its default at the end, unless it says that itself or there is none."""
    default = action.default
    if "default" in text or default in (None, "", argparse.SUPPRESS) or isinstance(default, bool) or action.nargs == 0:
        return text
    values = default if isinstance(default, (list, tuple)) else [default]
    shown = " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    if not shown:
        return text
    end = re.search(r" \(([^()]*)\)$", text)  # the default as people write it, with its unit
    if end and (end[1].startswith(shown) or shown in end[1].split()):
        text, shown = text[: end.start()], end[1]
    return f"{text} (default: {shown})".replace("%", "%%")


def add_config(parser: argparse.ArgumentParser) -> None:
    """``--config FILE.yaml``, which `OneLineParser` follows."""
    parser.add_argument(
        "--config",
        metavar="FILE.yaml",
        help="take options from this file, by their names without --; those given here win. Each run writes its own",
    )


def config_text(values: dict[str, Any], command: str) -> str:
    """The content of a run's config.yaml: its options, with which `command --config` makes it again."""
    import yaml

    head = f"# The options of this run. To make it again: {command} --config THIS_FILE --out ANOTHER_FOLDER\n"
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
