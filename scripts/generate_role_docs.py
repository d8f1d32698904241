"""Writes the tables of variables in ansible/README.md from the roles' argument specifications.

``--check`` compares only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

COLLECTION = Path(__file__).resolve().parent.parent / "ansible"
ROLES = ("libcensus_agent", "libcensus_collector")


def options(role: str) -> dict[str, dict[str, Any]]:
    """Return the options of a role's argument specification, by variable."""
    file = COLLECTION / "roles" / role / "meta" / "argument_specs.yml"
    specification = yaml.safe_load(file.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = specification["argument_specs"]["main"]["options"]
    return found


def table(role: str) -> str:
    """Return the table of a role's variables."""
    rows = ["| variable | default | means |", "|---|---|---|"]
    for name, option in options(role).items():
        default = option["default"]
        shown = default if isinstance(default, str) else json.dumps(default)
        meaning = option["description"].strip()
        if choices := option.get("choices"):
            meaning += f" One of {', '.join(f'`{one}`' for one in choices)}."
        cell = f"`{shown}`".replace("|", "\\|") if shown else ""
        rows.append(f"| `{name}` | {cell} | {meaning} |")
    return "\n".join(rows) + "\n"


def render(text: str) -> str:
    """Return the README with its tables made anew; raises ValueError where a mark is missing."""
    for role in ROLES:
        start, end = f"<!-- variables of {role} -->\n", f"<!-- end of {role} -->\n"
        head, found, rest = text.partition(start)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"ansible/README.md lacks the marks of {role}")
        text = head + start + "\n" + table(role) + "\n" + end + tail
    return text


def main() -> None:
    """Write or compare."""
    readme = COLLECTION / "README.md"
    present = readme.read_text(encoding="utf-8")
    wanted = render(present)
    if "--check" not in sys.argv[1:]:
        readme.write_text(wanted, encoding="utf-8")
    elif wanted != present:
        sys.exit("ansible/README.md has drifted from the argument specifications: run scripts/generate_role_docs.py")


if __name__ == "__main__":
    main()
