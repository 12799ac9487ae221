"""The environment in which Jinja runs here: only JSON values, counted work, and access to keys only.

Jinja's own sandbox lets an expression access attributes, except for dangerous ones. Here attributes don't exist:
`body.items` is a key, whatever methods Python's objects have. A method is found only when it is called, in a table of
pure and bounded methods.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

from jinja2.lexer import Lexer
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, missing, pass_context

from hookline.api import ExpressionFailed, MissingValue, Scope
from hookline_mapping.budget import Budget
from hookline_mapping.decimals import calculate
from hookline_mapping.expression_results import text
from hookline_mapping.jinja.exact_constants import ExactLexer, constant
from hookline_mapping.jinja.format_strings import percent_format
from hookline_mapping.missing_value_message import missing_value, path_text

_LOOP: Final = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0"}
)
_MAX_BITS: Final = 14_000
_MAX_RANGE: Final = 100_000


class MissingName(MissingValue):
    """The scope has no such name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name}: there is no {name!r} in scope")


class WrongOperand(ExpressionFailed):
    """An operator was given a value of a type that it doesn't take."""


class Missing(Undefined):
    """A missing value. Its keys are missing too; any other use raises an error that names it."""

    __slots__ = ("_root", "_there", "_wanted")

    def __init__(
        self, hint: str | None = None, obj: Any = missing, name: Any = None, exc: Any = None, *, root: str = ""
    ) -> None:
        """`root` is the name of the value of which `obj` is a part, `name` the key that it lacks."""
        self._undefined_hint = hint
        self._undefined_obj = obj
        self._undefined_name = name
        self._root = root
        self._there: tuple[str | int, ...] = ()
        self._wanted: tuple[str | int, ...] = (name,) if name is not None else ()

    @classmethod
    def on_path(cls, root: str, keys: tuple[str | int, ...], at: int, value: Any) -> "Missing":
        """Return a missing value: the value at the first `at` keys of a path lacks the next one."""
        made = cls(obj=value, name=keys[at], root=root)
        made._there, made._wanted = keys[:at], keys
        return made

    def error(self) -> MissingValue:
        """Return the error, which names it and the nearest existing key."""
        if self._undefined_hint:
            return MissingValue(self._undefined_hint)
        if self._undefined_obj is missing:
            return MissingName(str(self._undefined_name))
        where = path_text(self._there, self._root) if self._root else "the value it is read from"
        shown = path_text(self._wanted, self._root)
        return missing_value(shown, where, self._undefined_obj, self._undefined_name)

    def _fail_with_undefined_error(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self.error()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.error()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _fail_with_undefined_error
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _fail_with_undefined_error
    __mod__ = __rmod__ = __pos__ = __neg__ = _fail_with_undefined_error
    __call__ = __getitem__ = __contains__ = __iter__ = __len__ = _fail_with_undefined_error
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _fail_with_undefined_error
    __int__ = __float__ = __complex__ = __pow__ = __rpow__ = _fail_with_undefined_error
    __str__ = __bool__ = __hash__ = _fail_with_undefined_error

    def __repr__(self) -> str:
        return "<missing>"


class Omitted(Missing):
    """The result of `x if y` if y is false: empty inside text, as in any Jinja, and missing as a value."""

    __slots__ = ()


def omitted(condition: Any) -> Omitted:
    """The `else` of an `if` that has none."""
    return Omitted("its `if` is false, and there is no `else`")


def reject_missing(values: Iterable[Any]) -> None:
    """Raise MissingValue if one of them is missing."""
    for value in values:
        if isinstance(value, Missing):
            raise value.error()


class Function:
    """A function for expressions, with the budget as its first argument."""

    __slots__ = ("_run", "lenient", "name")

    def __init__(self, name: str, run: Callable[..., Any], *, lenient: bool = False) -> None:
        """`lenient`: it accepts missing values."""
        self.name = name
        self._run = run
        self.lenient = lenient

    def __call__(self, budget: Budget, *args: Any, **kwargs: Any) -> Any:
        if not self.lenient:
            reject_missing(args)
            reject_missing(kwargs.values())
        return self._run(budget, *args, **kwargs)


class BudgetedContext(Context):
    """The names of one evaluation, and its remaining budget."""

    budget: Budget


class Sandbox(ImmutableSandboxedEnvironment):
    """Evaluates expressions that were rewritten by `rewrite`."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})
    intercepted_unops = frozenset({"+", "-"})
    context_class = BudgetedContext

    def __init__(self, *, exact: bool = False) -> None:
        """`exact`: fractions are Decimals, including constants and quotients of integers."""
        self.exact = exact
        self.constant = constant
        super().__init__(undefined=Missing, autoescape=False, keep_trailing_newline=True, finalize=_finalize)
        self.globals = {
            "range": Function("range", _range),
            "dict": Function("dict", _dict),
            "namespace": Function("namespace", lambda budget, **kwargs: Namespace(**kwargs)),
        }

    @property
    def lexer(self) -> Lexer:
        """Return the lexer: Jinja's own, or one that reads fractions as Decimals."""
        return ExactLexer(self) if self.exact else super().lexer

    def context(self, scope: Scope) -> BudgetedContext:
        """Return a context for one evaluation."""
        context = BudgetedContext(self, {**self.globals, **scope}, None, {})
        context.budget = Budget()
        return context

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a key of an object. Attributes don't exist."""
        return item(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return a key of an object, or an item of a list or text."""
        reject_missing((argument,))
        return item(obj, argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Return true for Hookline's own functions only."""
        return isinstance(obj, Function)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call one of Hookline's functions; nothing else can be called."""
        # The compiler adds these inside loops, for functions that take a context.
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        if isinstance(obj, Missing):
            raise obj.error()
        if not isinstance(obj, Function):
            raise ExpressionFailed("only methods, range, dict and namespace can be called")
        try:
            return obj(_budget(context), *args, **kwargs)
        except TypeError as error:
            raise ExpressionFailed(f"{obj.name}: {error}") from error

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate within the limits."""
        reject_missing((left, right))
        budget = _budget(context)
        if operator == "%" and isinstance(left, str):
            return percent_format(budget, left, tuple(right) if isinstance(right, tuple) else (right,))
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            budget.spend_copy(len(left) + len(right))
        elif operator == "+" and isinstance(left, list | tuple) and isinstance(right, list | tuple):
            # Copying a list's references is far cheaper than a turn of a loop.
            budget.spend_turns((len(left) + len(right)) // 64 + 1)
            return [*left, *right]
        else:
            for side in (left, right):
                _check_number(operator, side)
            if isinstance(left, Decimal) or isinstance(right, Decimal) or (self.exact and operator == "/"):
                return calculate(operator, left, right)
        try:
            return self.binop_table[operator](left, right)
        except (ArithmeticError, TypeError) as error:
            raise ExpressionFailed(f"`{operator}`: {error}") from error

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        """Apply a sign. Python's own operator would round a Decimal."""
        reject_missing((arg,))
        if isinstance(arg, Decimal):
            return arg.copy_negate() if operator == "-" else arg
        return super().call_unop(context, operator, arg)


_NOT_REPEATED: Final = "; texts and lists can't be repeated"


def _check_number(operator: str, value: Any) -> None:
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise ExpressionFailed(f"`{operator}` takes numbers of at most {_MAX_BITS} bits")
    elif not isinstance(value, float | Decimal):
        hint = "; `| float` makes a number of text, a ~ b joins texts" if operator == "+" else _NOT_REPEATED
        shown = hint if operator in "+*" and isinstance(value, str | list) else ""
        raise WrongOperand(f"`{operator}` takes numbers, not {_kind(value)}{shown}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return _KINDS.get(type(value), f"a {type(value).__name__}")


_KINDS: Final[dict[type, str]] = {str: "text", list: "a list", dict: "an object"}


def item(value: Any, key: Any) -> Any:
    """Return a part of a value, or a Missing that knows the reason."""
    if isinstance(value, Mapping):
        if isinstance(key, str) and key in value:
            return value[key]
    elif isinstance(value, Missing):
        return value
    elif isinstance(value, list | tuple | str | range):
        if isinstance(key, int) and not isinstance(key, bool) and -len(value) <= key < len(value):
            return value[key]
        if isinstance(value, tuple) and key in ("grouper", "list"):  # a result of `groupby`
            return getattr(value, key, Missing(obj=value, name=key))
    elif isinstance(value, LoopContext):
        if key in _LOOP:
            return getattr(value, key)
    elif isinstance(value, Namespace) and isinstance(key, str) and not key.startswith("_"):
        return _namespace_item(value, key)
    return Missing(obj=value, name=key)


def _namespace_item(value: Namespace, key: str) -> Any:
    try:
        return getattr(value, key)
    except AttributeError:
        return Missing(f"{key}: the namespace has no {key!r}")


def follow(value: Any, root: str, keys: tuple[str | int, ...]) -> Any:
    """Return the value at a path, or a Missing that names it."""
    for at, key in enumerate(keys):
        if type(value) is dict:
            try:
                value = value[key]
            except KeyError:
                return Missing.on_path(root, keys, at, value)
        else:
            found = item(value, key)
            if isinstance(found, Missing):
                if found is value or found._undefined_hint:
                    return found
                return Missing.on_path(root, keys, at, value)
            value = found
    return value


def _budget(context: Context) -> Budget:
    budget: Budget = context.budget  # type: ignore[attr-defined]  # `context_class` makes them all
    return budget


def _range(budget: Budget, *args: int) -> range:
    made = range(*args)
    if len(made) > _MAX_RANGE:
        budget.spend_turns(len(made))
    return made


def _dict(budget: Budget, given: Any = (), **members: Any) -> dict[str, Any]:
    """Make an object of pairs. Its keys must be texts, because numbers with equal hashes would make look-ups slow."""
    spend_size(budget, given)
    pairs = list(given.items() if isinstance(given, Mapping) else given)
    if any(isinstance(each, list | tuple) and len(each) == 2 and not isinstance(each[0], str) for each in pairs):
        raise ExpressionFailed("`dict` takes texts as keys; write `string` after a number")
    return {**dict(pairs), **members}


@pass_context
def _finalize(context: BudgetedContext, value: Any) -> str:
    return "" if isinstance(value, Omitted) else text(value, context.budget)


@pass_context
def turns(context: BudgetedContext, value: Any) -> Any:
    """Return the iterable of a loop, and count its turns beforehand if possible."""
    if isinstance(value, list | tuple | dict | str | range):
        context.budget.spend_turns(len(value))
        return value
    if isinstance(value, Missing):
        raise value.error()
    if not isinstance(value, Iterable):
        raise ExpressionFailed(f"{_kind(value)} has no items")
    return _counted(context.budget, value)


def _counted(budget: Budget, items: Iterable[Any]) -> Iterator[Any]:
    for each in items:
        budget.spend_turns(1)
        yield each


@pass_context
def searched(context: BudgetedContext, value: Any) -> Any:
    """Count the search through the right side of `in`, and return it."""
    if not isinstance(value, dict):
        spend_comparing(context.budget, value)
    return value


def spend_size(budget: Budget, value: Any) -> None:
    """Count the cost of a filter that visits a value once: less than a loop, which runs its content."""
    if isinstance(value, str):
        budget.spend_turns(len(value) // 500 + 1)
    elif isinstance(value, list | tuple | range | Mapping):
        budget.spend_turns(len(value) // 2 + 1)


@pass_context
def compared(context: BudgetedContext, value: Any) -> Any:
    """Count the cost of comparing one side of a comparison, and return it."""
    spend_comparing(context.budget, value)
    return value


def spend_comparing(budget: Budget, value: Any) -> None:
    """Count the cost of comparing a value: everything inside it."""
    if not isinstance(value, list | tuple | dict):
        spend_size(budget, value)
        return
    waiting = [value]
    while waiting:
        current = waiting.pop()
        budget.spend_turns(len(current) + 1)
        inner = current.values() if isinstance(current, dict) else current
        waiting += [each for each in inner if isinstance(each, list | tuple | dict)]


@pass_context
def concat(context: BudgetedContext, values: list[Any]) -> str:
    """Join the operands of `~`."""
    made = "".join([value if type(value) is str else _finalize(context, value) for value in values])
    context.budget.spend_copy(len(made))
    return made


@pass_context
def part(context: BudgetedContext, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """Return a slice."""
    reject_missing((start, stop, step))
    if isinstance(value, Missing):
        return value
    if not isinstance(value, str | list | tuple | range):
        raise ExpressionFailed(f"{_kind(value)} can't be sliced; texts and lists can")
    made = value[start:stop:step]
    spend_size(context.budget, made)
    return made
