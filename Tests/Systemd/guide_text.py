"""The operator's guide as a list of things to do: blocks of commands and files, in their order.

Usage: guide_text.py FILE, which prints them. Before each block of commands stands a comment that says how it is run:

    <!-- run: NAME [status=N] [shows="TEXT"] [first=HOOK] -->    lines that begin with "# " or "$ " are commands
    <!-- file: PATH -->                                          the block is the content of this file
    <!-- not run: REASON -->                                     it is shown only

The last command of a block ends with `status` (0 if nothing is said) and the others with 0; what they print together
has `shows` in it. `first` is a function that is called before. A block of commands without such a comment is an error.
"""

import re
import sys
from dataclasses import dataclass, field

COMMENT = re.compile(r"<!-- (run|file|not run): (.*?) *-->$")
OPTION = re.compile(r'(status|shows|first)=(?:"([^"]*)"|(\S+))')


class Unclear(Exception):
    """The guide cannot be run as it is written."""


@dataclass
class File:
    path: str
    text: str
    line: int


@dataclass
class Commands:
    name: str
    line: int
    commands: list[str] = field(default_factory=list)
    status: int = 0
    shows: str = ""
    first: str = ""


def read(path):
    """All steps of a guide."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    steps, names, comment, block = [], set(), None, None
    for number, line in enumerate(lines, 1):
        if block is not None:
            if line != "```":
                block.append(line)
                continue
            step = _step(path, start, language, comment, block)
            if isinstance(step, Commands):
                if step.name in names:
                    raise Unclear(f"{path}:{start}: there are two blocks {step.name}")
                names.add(step.name)
            if step:
                steps.append(step)
            comment = block = None
        elif line.startswith("```"):
            block, language, start = [], line[3:], number
        elif found := COMMENT.match(line):
            comment = found.groups()
        elif line:
            if comment:
                raise Unclear(f"{path}:{number}: the comment before this line belongs to no block")
    return steps


def _step(path, line, language, comment, block):
    kind, text = comment or (None, "")
    if kind == "file":
        return File(text, "\n".join(block) + "\n", line)
    if kind == "not run":
        return None
    if kind is None:
        if language in ("console", "sh", "shell", "bash"):
            raise Unclear(f"{path}:{line}: no comment says how these commands are run")
        return None
    options = {name: quoted or bare for name, quoted, bare in OPTION.findall(text)}
    rest = OPTION.sub("", text).split()
    commands = _commands(block)
    if len(rest) != 1 or not commands:
        raise Unclear(f"{path}:{line}: 'run: {text}' is no name with options, or no command follows")
    return Commands(rest[0], line, commands, int(options.get("status", 0)), options.get("shows", ""),
                    options.get("first", ""))


def _commands(block):
    commands, continues = [], False
    for line in block:
        if continues:
            commands[-1] += "\n" + line
        elif line.startswith(("# ", "$ ")):
            commands.append(line[2:])
        else:
            continue
        continues = commands[-1].endswith("\\")
    return commands


def main():
    try:
        steps = read(sys.argv[1])
    except Unclear as error:
        sys.exit(str(error))
    for step in steps:
        print(f"write {step.path}" if isinstance(step, File) else f"{step.name}: " + "; ".join(step.commands))


if __name__ == "__main__":
    main()
