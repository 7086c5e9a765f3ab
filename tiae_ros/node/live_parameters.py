"""The node's parameters at run time: declared from the table, checked together, applied between two frames."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter

from tiae_ros.errors import ParameterError
from tiae_ros.parameters import START, TABLE, read_overrides, unknown_name

# Parameters that rclpy itself declares or reads.
_FOREIGN = ("use_sim_time", "start_type_description_service")
_FOREIGN_PREFIXES = ("qos_overrides.",)
_KNOWN = {row.name for row in TABLE}


class LiveParameters:
    """Declares the table on a node and keeps the `Settings` of its values.

    Attributes:
        settings: the parameters as they are set now (some count only from the next configure on).
        remarks: parameter -> what was wrong with the value or name given at the start, until a good value is set.
    """

    def __init__(self, node: LifecycleNode, on_change: Callable[[Collection[str]], None]) -> None:
        """Declare; what a file or the command line gives is checked here, not by rclpy.

        rclpy would end the process for an `int` where a `double` is declared, and would not mention names
        that nobody declares. on_change is told the names of what was set.
        """
        self._on_change = on_change
        given = {name: parameter.value for name, parameter in node._parameter_overrides.items()}
        self.settings, refused = read_overrides({n: v for n, v in given.items() if n in _KNOWN})
        for line in refused.values():
            node.get_logger().error(f"{line}; the default is kept")
        unknown = [n for n in given if n not in _KNOWN and n not in _FOREIGN]
        misspelt = {n: unknown_name(n) for n in unknown if not n.startswith(_FOREIGN_PREFIXES)}
        for line in misspelt.values():
            node.get_logger().warning(line)
        self.remarks = refused | misspelt
        for row in TABLE:
            descriptor = ParameterDescriptor(
                description=f"{row.meaning}{f' [{row.unit}]' if row.unit else ''}",
                additional_constraints=f"{row.accepted}; changes: {row.change}",
                read_only=row.change == START,
                dynamic_typing=True,  # the table checks types, and takes 1 for 1.0
            )
            node.declare_parameter(row.name, getattr(self.settings, row.name), descriptor, ignore_override=True)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            self.settings.with_changes(_own(parameters))
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        changes = _own(parameters)
        # One assignment of an immutable object: a frame sees all of the change or nothing of it.
        self.settings = self.settings.with_changes(changes)
        self.remarks = {name: line for name, line in self.remarks.items() if name not in changes}
        self._on_change(changes)


def _own(parameters: list[Parameter]) -> dict[str, Any]:
    return {parameter.name: parameter.value for parameter in parameters if parameter.name in _KNOWN}
