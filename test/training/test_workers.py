"""Jobs shared by processes: results in order, no more in work than are waited for, dead workers said."""

import itertools
import operator
import os
import time
from functools import partial

import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

from tiae_ros.errors import TrainingError
from tiae_training.workers import each_in_order

pytestmark = pytest.mark.timeout(120)


power_of_two = partial(operator.pow, 2)  # what a new interpreter can import


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_also_of_jobs_without_end(workers):
    assert list(each_in_order(power_of_two, range(7), workers)) == [1, 2, 4, 8, 16, 32, 64]
    endless = each_in_order(power_of_two, itertools.count(), workers)
    assert list(itertools.islice(endless, 5)) == [1, 2, 4, 8, 16]
    started = time.monotonic()
    endless.close()
    assert time.monotonic() - started < 10


def test_no_more_is_begun_than_is_waited_for():
    begun = []

    def jobs():
        for number in range(50):
            begun.append(number)
            yield number

    results = each_in_order(power_of_two, jobs(), 2, ahead=1)
    next(results)
    assert len(begun) <= 4
    results.close()


def test_a_dead_worker_is_said():
    with pytest.raises(TrainingError, match="a worker process ended before its work was done"):
        list(each_in_order(os._exit, [9, 9, 9], 2))
