"""The node's services, asked without waiting: its parameters, and ~/enable. All of it on the listener's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from std_srvs.srv import SetBool

PATIENCE_S = 5.0
_POLL_S = 0.05
Answer = Callable[[str], None]
"""Told what came of it: "" when it is done, else the reason why not."""


class Asking:
    """The services of the perception node.

    Attributes:
        values: its parameters as they were told last.
    """

    def __init__(self, node: Node, do: Callable[..., None], on_values: Callable[[dict[str, Any]], None]) -> None:
        """do: runs a function on the listener's thread. on_values: told new values, on that thread."""
        self._node = node
        self._do = do
        self._on_values = on_values
        self._asked = ""
        self.values: dict[str, Any] = {}
        node.create_subscription(ParameterEvent, "/parameter_events", self._on_event, 10)

    def get_parameters(self, of: str, names: Sequence[str]) -> None:
        """Ask the node of this name for its parameters, and take note of their changes from now on."""

        def told(response: Any) -> None:
            given = zip(names, map(parameter_value_to_python, response.values), strict=False)
            self.values = {name: value for name, value in given if value is not None}
            self._on_values(dict(self.values))

        self._asked = of
        request = GetParameters.Request(names=list(names))
        self._do(self._ask, GetParameters, f"{of}/get_parameters", request, told, lambda reason: None)

    def set_parameter(self, of: str, name: str, value: Any, answer: Answer) -> None:
        """Ask it to take a value."""

        def told(response: Any) -> None:
            reasons = [result.reason for result in response.results if not result.successful]
            answer("; ".join(reasons) if response.results else f"{of} knows no parameter {name}")

        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        self._do(self._ask, SetParameters, f"{of}/set_parameters", request, told, answer)

    def enable(self, of: str, wanted: bool, answer: Answer) -> None:
        """Let it work, or not."""

        def told(response: Any) -> None:
            answer("" if response.success else response.message)

        self._do(self._ask, SetBool, f"{of}/enable", SetBool.Request(data=wanted), told, answer)

    def _ask(self, kind: type, service: str, request: Any, told: Callable[[Any], None], answer: Answer) -> None:
        """Call when the service is there; give up after a while. Simulated time may stand still meanwhile."""
        client = self._node.create_client(kind, service)
        polls = 0
        future: Any = None

        def look() -> None:
            nonlocal polls, future
            polls += 1
            if future is None and client.service_is_ready():
                future = client.call_async(request)
            elif future is not None and future.done():
                end()
                told(future.result())
            elif polls > PATIENCE_S / _POLL_S:
                end()
                answer(f"{service} {'is not there' if future is None else 'does not answer'}")

        def end() -> None:
            self._node.destroy_timer(timer)
            self._node.destroy_client(client)

        timer = self._node.create_timer(_POLL_S, look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_event(self, event: ParameterEvent) -> None:
        if event.node == self._asked:
            changed = [*event.new_parameters, *event.changed_parameters]
            values = {one.name: parameter_value_to_python(one.value) for one in changed}
            self.values |= values
            self._on_values(values)
