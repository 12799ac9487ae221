"""The growth test: no work that a message can cause grows faster than n log n, or the input is rejected.

Each thing that works on what a message says (a parser, a filter, a method, an action, a mask, a scheme, a formatter, a
regular expression) is run over families of hostile input of size n, 2n and 4n. `measure.py` says how it is judged.

How to add a case:

- **A new entry of a registry** (a filter, an action, a scheme, …): its test fails until the table of its module in
  `things/` has an entry under its name. The message names the table.
- **Something that no registry lists** (a function of a module): add a `Thing` to a module of `things/`. Each public
  function of the modules in `_ROOMS` of `things/bodies.py` must have a thing, or a reason why it has none.
- **A family of input**: add a `Family` to `families.py`, and to the group (`TEXTS`, `VALUES`, …) whose things it suits.

A thing is a name, a function of one input, and the families that suit it. The function may raise an error of Hookline's
own (`HooklineError`, or pydantic's `ValidationError`): that rejects the input, and its time counts all the same.

    Thing("formatter", "encode", encode, VALUES + TEXTS)

`pytest tests/growth` runs each thing up to `measure.MOST`; `pytest tests/growth -m long` up to the largest body.
"""
