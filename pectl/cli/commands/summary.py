"""`pectl summary`."""

from pectl.cli.options import ConfigOption, SetOption
from pectl.cli.training import show_layers


def summary(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Show the layers, shapes, parameters and operations of a configuration's models."""
    from pectl.config import load_config
    from pectl.training.summary import WINDOWS, summarise_stage1, summarise_stage2

    resolved = load_config(config, overrides or [])
    show_layers("stage 1, one window", summarise_stage1(resolved))
    show_layers(f"stage 2, one study of {WINDOWS} windows", summarise_stage2(resolved))
