"""The actor of operations that the command line does in its own process."""

import os
import pwd

from hookline.model.access import Actor


def local_user() -> Actor:
    """The user of the operating system that runs this process."""
    # Not from the environment, where anybody can set another name.
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # A container may run with an id that has no name.
        name = str(user)
    return Actor("local", name)
