"""The command as it was given, for reports that say what was asked."""

import shlex

import typer

_DEFAULTS = ("DEFAULT", "DEFAULT_MAP")


def asked(context: typer.Context) -> str:
    """Return the command with its files and the options that were given, as it can be typed again."""
    words = ["honeyguide", *context.command_path.split()[1:]]
    for parameter in context.command.params:
        name = str(parameter.name)
        source, value = context.get_parameter_source(name), context.params.get(name)
        if value is None or source is None or source.name in _DEFAULTS:
            continue
        option = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
        values = value if isinstance(value, list | tuple) else [value]
        words += [word for one in values for word in (*option, str(one))]
    return shlex.join(words)
