"""The flows that ship as examples, wherever this installation has them."""

from pathlib import Path
from typing import Final

from hookline.kernel.errors import ConfigError

_PACKAGE: Final = Path(__file__).parents[1]


def example(name: str) -> Path:
    """The path of an example, such as `paypal-to-accounting.json`. Raises ConfigError where it isn't installed."""
    # A wheel has them inside the package; a checkout that is installed in place has them at its top.
    for folder in (_PACKAGE / "examples", _PACKAGE.parents[1] / "flows"):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"the example {name} isn't installed; install hookline again")
