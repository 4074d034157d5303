"""The part of CloudWatch's metric math that alarms need: numbers, metrics, + - * /, comparisons, AND, OR, IF and FILL.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from config.sagemaker_emulator.refusals import Refusal

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda left, right: left / right if right else None,  # CloudWatch shows no point there
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def compute_formula(text: str, values: Mapping[str, float | None]) -> float | None:
    """The value of an expression where each metric has one value; None (missing) spreads, except through FILL.

    Raises Refusal for what is not understood.
    """
    try:
        # AWS writes AND and && alike; IF is no name that Python allows.
        python = re.sub(r"\bAND\b|&&", " and ", re.sub(r"\bOR\b|\|\|", " or ", re.sub(r"\bIF\s*\(", "IF_(", text)))
        return _compute(ast.parse(python.strip(), mode="eval").body, values)
    except SyntaxError as error:
        raise Refusal(f"Invalid metrics expression: {text}") from error


def _compute(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in values:
        return values[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = _compute(node.operand, values)
        return None if operand is None else -operand
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _apply(_BINARY[type(node.op)], node.left, node.right, values)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
        return _apply(_COMPARE[type(node.ops[0])], node.left, node.comparators[0], values)
    if isinstance(node, ast.BoolOp):
        parts = [_compute(part, values) for part in node.values]
        if any(part is None for part in parts):
            return None
        return float(all(parts) if isinstance(node.op, ast.And) else any(parts))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node.args, values)
    raise Refusal(f"The emulator's metric math does not know: {ast.unparse(node)}")


def _apply(
    function: Callable[[Any, Any], Any], left: ast.expr, right: ast.expr, values: Mapping[str, float | None]
) -> float | None:
    first, second = _compute(left, values), _compute(right, values)
    if first is None or second is None:
        return None
    result = function(first, second)
    return None if result is None else float(result)


def _call(name: str, arguments: list[ast.expr], values: Mapping[str, float | None]) -> float | None:
    if name == "IF_" and len(arguments) in {2, 3}:
        condition = _compute(arguments[0], values)
        if condition:
            return _compute(arguments[1], values)
        return _compute(arguments[2], values) if condition is not None and len(arguments) == 3 else None
    if name == "FILL" and len(arguments) == 2:
        value = _compute(arguments[0], values)
        return _compute(arguments[1], values) if value is None else value
    raise Refusal(f"The emulator's metric math does not know {name.rstrip('_')}({len(arguments)} arguments).")
