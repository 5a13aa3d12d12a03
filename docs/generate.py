"""Write the pages of the documentation that are made from the source: `make reference`.

    python docs/generate.py            writes the pages
    python docs/generate.py --check    exit status 1 and a list where a page is not current

`PAGES` says which pages there are. `tests/test_docs.py` holds them to the source.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from html import escape
from pathlib import Path
from typing import Any, Final

import typer

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
SOURCE: Final = ROOT / "src" / "boneage"
MADE: Final = "<!-- Made by docs/generate.py (`make reference`). Change the source, not this page. -->"


# The command line


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be called, as ("boneage models list", command)."""
    from boneage.cli import app

    # Typer carries its own copy of click, so nothing here names click's classes.
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="boneage")
    for name in group.list_commands(context):
        _, command, _ = group.resolve_command(context, [name])
        assert command is not None
        yield from _leaves(f"boneage {name}", command)


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _leaves(f"{path} {name}", inner)
    else:
        yield path, command


def command_line_page() -> str:
    lines = [
        "# Command line",
        "",
        "Exit status of every command: 0 done, 1 some files were rejected or failed (the others are in the output), 2 "
        "wrong usage or a model that cannot be used.",
    ]
    for path, command in commands():
        lines += [
            "",
            f"## {path}",
            "",
            _paragraphs(command.help or ""),
            "",
            "```text",
            _usage(path, command),
            "```",
            "",
        ]
        lines += ["| argument or option | value | default | meaning |", "|---|---|---|---|"]
        lines += [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
    return "\n".join(lines)


def _usage(path: str, command: Any) -> str:
    pieces = [path]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            pieces.append(_argument(parameter))
        elif parameter.required:
            pieces.append(f"{parameter.opts[0]} {_value(parameter)}")
    return " ".join([*pieces, "[OPTION]..."])


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _parameter(parameter: Any) -> str:
    shown = _default(parameter)
    if parameter.param_type_name == "argument":
        name, value = f"`{_argument(parameter)}`", ""
    else:
        name = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
        value = _value(parameter)
        value = f"`{value}`" if value else ""
    return _row(name, value, shown, getattr(parameter, "help", None) or "")


def _value(parameter: Any) -> str:
    """What an option takes: its metavar, its choices, or the kind of the value."""
    if parameter.is_flag:
        return ""
    kind = parameter.type_descriptor.annotation
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is list else kind
    if isinstance(inner, type) and issubclass(inner, Enum):
        value = "|".join(str(choice.value) for choice in inner)
    else:
        value = parameter.metavar or getattr(inner, "__name__", "value").upper()
    return f"{value} ..." if inner is not kind else value


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default in (None, False, "") or default == []:
        return ""
    return f"`{getattr(default, 'value', default)}`"


# Codes


@dataclasses.dataclass
class Code:
    """A code of an error: its kinds, each with the first message in the order of files."""

    messages: dict[str, str] = dataclasses.field(default_factory=dict)

    def kinds(self, *, of_a_radiograph: bool) -> list[str]:
        """The kinds that are about one radiograph, or the others."""
        return sorted(kind for kind in self.messages if (kind in _STATUS) is of_a_radiograph)

    def message(self, kinds: list[str]) -> str:
        """The first message of these kinds."""
        return next((self.messages[kind] for kind in kinds if self.messages[kind]), "")


_STATUS: Final = {"UnreadableRadiograph": "failed", "UnsuitableRadiograph": "rejected"}


def error_codes() -> dict[str, Code]:
    """Code -> what raises it, read from the source."""
    from boneage import errors

    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
    codes: dict[str, Code] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            kind = ast.unparse(node.func).rpartition(".")[2]
            if kind not in kinds:
                continue
            arguments = list(node.args)
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            if kind in _STATUS and arguments:
                code, message = arguments[0], arguments[1] if len(arguments) > 1 else None
            else:
                code, message = named.get("code"), arguments[0] if arguments else None
            for text in _constants(code):
                known = codes.setdefault(text, Code())
                known.messages[kind] = known.messages.get(kind) or _message(message)
    return dict(sorted(codes.items()))


def _constants(node: ast.expr | None) -> Iterator[str]:
    """The code, or both codes of `a if b else c`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _constants(node.body)
        yield from _constants(node.orelse)


def _message(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _message(node.left) + _message(node.right)
    return ""


def codes_page() -> str:
    from boneage.pipeline import gate
    from boneage.remarks import REMARKS

    severities = {"info": "info", "caution": "**caution**", "do_not_rely": "**do not rely**"}
    lines = [
        "# Remarks and error codes",
        "",
        "Codes are stable. Programs, pages and tests key on codes, never on sentences.",
        "",
        "## Remarks",
        "",
        "A remark belongs to an answer (`remarks` in JSON, `Assessment.remarks` in Python). `info` explains. `caution` "
        "asks to look. `do_not_rely` forbids to use the answer.",
        "",
        "| code | severity | when |",
        "|---|---|---|",
        *(_row(f"`{code}`", severities[severity.value], when) for code, (severity, when) in REMARKS.items()),
        "",
        "## Files without an answer",
        "",
        "`failed`: the file could not be read. `rejected`: it was read, but it must not be assessed. The code is "
        "`reason_code` in JSON and `.code` of the error in Python. `boneage assess --anyway` assesses what the gate "
        "rejects and adds the remark of the same code.",
        "",
        "| code | status | reason |",
        "|---|---|---|",
    ]
    codes = error_codes()
    reasons = {code: reason for code, (reason, *_) in getattr(gate, "_REASONS", {}).items()}
    for code, reason in reasons.items():
        codes.setdefault(code, Code({"UnsuitableRadiograph": reason}))
    for code, known in sorted(codes.items()):
        if kinds := known.kinds(of_a_radiograph=True):
            statuses = " or ".join(sorted(_STATUS[kind] for kind in kinds))
            lines.append(_row(f"`{code}`", statuses, known.message(kinds)))
    lines += [
        "",
        "## Other errors",
        "",
        "`boneage.errors` documents the tree. `UsageError` and `ModelError` end a command with status 2, the others "
        "with status 1. `…` stands for what the message fills in.",
        "",
        "| code | kind | message |",
        "|---|---|---|",
    ]
    for code, known in sorted(codes.items()):
        if kinds := known.kinds(of_a_radiograph=False):
            lines.append(_row(f"`{code}`", ", ".join(kinds), known.message(kinds)))
    return "\n".join(lines)


# Recipes and experiments


def recipes_page() -> str:
    from boneage.training.recipes import NAMES, find_recipe_file, settings
    from boneage.training.recipes.recipe import Recipe

    lines = [
        "# Recipes and their settings",
        "",
        "A recipe is a Python file with one `RECIPE`. `boneage train` takes a name or a file. `--set key=value` "
        "replaces one setting; keys are dotted: `--set regressor.schedule.epochs=12`.",
        "",
        "## Recipes",
    ]
    for name in NAMES:
        text = ast.get_docstring(ast.parse(find_recipe_file(name).read_text("utf-8"))) or ""
        first, _, rest = text.partition("\n\n")
        facts, _, prose = rest.partition("\n\n")
        lines += ["", f"### {name}", "", " ".join(first.split()), "", "| | |", "|---|---|"]
        lines += [_row(key, f"`{' '.join(fact.split())}`" if key == "Command" else fact) for key, fact in _facts(facts)]
        lines += ["", prose]
    lines += ["", "## Settings", "", "`Recipe` is the whole; the other groups are parts of it."]
    groups = [
        kind
        for kind in vars(settings).values()
        if isinstance(kind, type)
        and dataclasses.is_dataclass(kind)
        and getattr(kind, "__module__", "") == settings.__name__
    ]
    for group in (Recipe, *groups):
        lines += ["", f"### {group.__name__}", "", *_settings(group)]
    return "\n".join(lines)


def _settings(group: Any) -> list[str]:
    text = inspect.getdoc(group) or ""
    prose, _, attributes = text.partition("Attributes:\n")
    meanings = _attributes(attributes)
    lines = [_paragraphs(prose), "", "| setting | type | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(group):
        if field.default is not dataclasses.MISSING:
            default = f"`{_short(field.default)}`"
        elif field.default_factory is not dataclasses.MISSING:
            default = "a group"
        else:
            default = "required"
        lines.append(_row(f"`{field.name}`", _type(field.type), default, meanings.get(field.name, "")))
    return lines


def _attributes(text: str) -> dict[str, str]:
    """Name -> meaning from the `Attributes:` of a docstring; `a, b: meaning` is for both."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        if match := re.match(r"([a-z_0-9]+(?:, [a-z_0-9]+)*): (.*)", line):
            names = match[1].split(", ")
            meanings |= dict.fromkeys(names, match[2])
        elif line.strip():
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
    return meanings


def _type(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    if match := re.fullmatch(r"(Backbone|Augmentation|Schedule|\w+Settings)( \| None)?", text):
        return f"[{match[1]}](#{match[1].lower()}){' or None' if match[2] else ''}"
    text = re.sub(r"Literal\[([^\]]*)\]", lambda match: match[1].replace(", ", "|").replace('"', "'"), text)
    return f"`{text}`"


def _short(value: object) -> str:
    if isinstance(value, str) and value.startswith("/"):
        return Path(value).name
    return repr(value)


def experiments_page() -> str:
    from boneage.research.experiments import EXPERIMENTS
    from boneage.research.scales import SCALES

    lines = [
        "# Experiments",
        "",
        f"`boneage reproduce NAME` runs one, `boneage reproduce all` runs all. Scales: {', '.join(SCALES)}. Each is "
        "one file in `src/boneage/research/experiments/`. See [Reproduce the paper](../how-to/reproduce.md).",
        "",
        "| experiment | what it shows | what was found on radiographs |",
        "|---|---|---|",
    ]
    for name, what in EXPERIMENTS.items():
        file = SOURCE / "research" / "experiments" / f"{name.replace('-', '_')}.py"
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        found = dict(_facts(text)).get("Found", "").replace("(docs/results)", "")
        lines.append(_row(f"`{name}`", what, found))
    return "\n".join(lines)


def _facts(text: str) -> list[tuple[str, str]]:
    """`Command:  boneage train ...` and its kin in a docstring; a fact may go on in the next line, indented."""
    return re.findall(r"^(\w+):\s+(.*(?:\n +.*)*)", text, re.MULTILINE)


# Schemas


def assessment_schema() -> str:
    from boneage.reports.schema import assessment_schema

    return assessment_schema()


def model_schema() -> str:
    from boneage.model.document import json_schema

    return json.dumps(json_schema(), indent=2) + "\n"


def record_page() -> str:
    return "\n".join(
        [
            "# The JSON of an assessment",
            "",
            "`boneage assess --format json` prints one object a line. In Python it is "
            "`boneage.reports.AssessmentRecord.of(assessment).as_json()`. Keys do not come and go: a missing value is "
            "null.",
            "",
            "JSON schema: [assessment.schema.json](assessment.schema.json).",
            *_schema(json.loads(assessment_schema())),
        ]
    )


def model_json_page() -> str:
    return "\n".join(
        [
            "# model.json",
            "",
            "Settings of a model, by which it answers, and where it comes from. [The model folder](model-folder.md) "
            "describes the files beside it. Fields that a version does not know are ignored.",
            "",
            "JSON schema: [model.schema.json](model.schema.json).",
            *_schema(json.loads(model_schema())),
        ]
    )


def _schema(schema: dict[str, Any]) -> list[str]:
    lines = []
    for name, part in {"": schema, **schema.get("$defs", {})}.items():
        if "properties" not in part:
            continue
        prose, _, attributes = part.get("description", "").partition("Attributes:\n")
        meanings = _attributes(attributes)
        if name:
            lines += ["", f"## {name}", "", _paragraphs(prose)]
        lines += ["", "| key | type | meaning |", "|---|---|---|"]
        lines += [
            _row(f"`{key}`", _schema_type(value), value.get("description") or meanings.get(key, ""))
            for key, value in part["properties"].items()
        ]
    return lines


def _schema_type(part: dict[str, Any]) -> str:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in part:
        return " or ".join(_schema_type(inner) for inner in part["anyOf"])
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kind = part.get("type", "any")
    if kind == "array":
        inner = part.get("items") or (part.get("prefixItems") or [{}])[0]
        many = (
            f" of {part['minItems']}" if part.get("minItems") and part.get("minItems") == part.get("maxItems") else ""
        )
        return f"list{many}: {_schema_type(inner) if isinstance(inner, dict) else 'any'}"
    if kind == "object" and isinstance(part.get("additionalProperties"), dict):
        return f"object: {_schema_type(part['additionalProperties'])}"
    return str(kind)


# Decisions and the model card


def decisions_page() -> str:
    """The index: what stands above the mark is written by hand, the tables below it are made from the pages."""
    head = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8").partition(MADE)[0]
    entries: dict[str, list[tuple[str, str, str, str]]] = {}
    for file in sorted((DOCS / "decisions").glob("2*.md")):
        area, row = decision(file)
        entries.setdefault(area, []).append(row)
    lines = [head.rstrip("\n"), "", MADE]
    for area in sorted(entries, key=lambda area: (area != "House", area)):
        lines += ["", f"## {area}", "", "| date | decision | status |", "|---|---|---|"]
        lines += [_row(date, f"[{title}]({name})", status) for date, title, name, status in entries[area]]
    return "\n".join(lines) + "\n"


def decision(file: Path) -> tuple[str, tuple[str, str, str, str]]:
    """Area and (date, title, file name, status) of a decision; its third line says them."""
    title, _, facts, *_ = file.read_text(encoding="utf-8").splitlines()
    match = re.fullmatch(
        r"\*\*Status:\*\* ([a-z ]+?)(?: by \[.*\]\(.*\))? · \*\*Date:\*\* (\S+) · \*\*Area:\*\* (.+)", facts
    )
    if not title.startswith("# ") or match is None or not file.name.startswith(match[2]):
        raise SystemExit(f"{file}: line 1 should be the title, line 3 status, date and area as in the other decisions.")
    return match[3], (match[2], title[2:], file.name, match[1])


def contributing_page() -> str:
    """CONTRIBUTING.md for the site, whose links begin in docs/."""
    return (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("](docs/", "](").rstrip("\n")


def model_card_page() -> str:
    models = SOURCE / "models"
    card = models / (models / "DEFAULT").read_text(encoding="utf-8").strip() / "MODEL_CARD.md"
    return card.read_text(encoding="utf-8").rstrip("\n")


PAGES: Final[dict[str, Callable[[], str]]] = {
    "reference/command-line.md": command_line_page,
    "reference/codes.md": codes_page,
    "reference/assessment-record.md": record_page,
    "reference/assessment.schema.json": assessment_schema,
    "reference/model-json.md": model_json_page,
    "reference/model.schema.json": model_schema,
    "reference/recipes.md": recipes_page,
    "reference/experiments.md": experiments_page,
    "reference/model-card.md": model_card_page,
    "contributing.md": contributing_page,
    "decisions/README.md": decisions_page,
}
"""Page, relative to docs/ -> what makes its text."""


def page(name: str) -> str:
    """The text of a page, or of a schema, as it should be."""
    if name.endswith(".json") or name == "decisions/README.md":
        return PAGES[name]()
    return f"{MADE}\n\n{PAGES[name]()}\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(_cell(cell).split()) for cell in cells) + " |"


def _cell(text: str) -> str:
    """A cell may not hold a bar, and within backticks each reader of Markdown wants it escaped in another way."""
    text = re.sub(r"`([^`]*\|[^`]*)`", lambda match: f"<code>{escape(match[1], quote=False)}</code>", text)
    return text.replace("|", "&#124;")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n")).replace("\f", "")


def main(arguments: list[str]) -> int:
    stale = []
    for name in PAGES:
        text, file = page(name), DOCS / name
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8")
            print(f"written: docs/{name}")
    if stale and "--check" in arguments:
        print("Not current, run `make reference`:", *(f"docs/{name}" for name in stale), sep="\n  ")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
