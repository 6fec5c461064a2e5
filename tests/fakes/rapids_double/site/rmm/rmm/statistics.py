from contextlib import contextmanager

from rapids_double.memory import Statistics

from rmm import mr

__all__ = ["Statistics"]


def _adaptor():
    found = mr.get_current_device_resource()
    return found if isinstance(found, mr.StatisticsResourceAdaptor) else None


def enable_statistics():
    if _adaptor() is None:
        mr.set_current_device_resource(mr.StatisticsResourceAdaptor(mr.get_current_device_resource()))


def get_statistics():
    return _adaptor() and _adaptor().allocation_counts


def push_statistics():
    return _adaptor() and _adaptor().push_counters()


def pop_statistics():
    return _adaptor() and _adaptor().pop_counters()


@contextmanager
def statistics():
    before = None
    if push_statistics() is None:
        before = mr.get_current_device_resource()
        enable_statistics()
    current = mr.get_current_device_resource()
    try:
        yield
    finally:
        if current is not mr.get_current_device_resource():
            raise ValueError("RMM memory source stack was changed while in the statistics context")
        if before is None:
            pop_statistics()
        else:
            mr.set_current_device_resource(before)
