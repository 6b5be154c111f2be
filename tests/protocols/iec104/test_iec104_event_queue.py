"""The event queue: order, bounds, positions, and what is left of it after the process or the file has suffered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.errors import ConfigError
from scada.protocols.iec104.event_queue import EVENT_DTYPE, EventQueue, Standing, StoredEventQueue
from scada.rtdb.lmdb_file import CorruptFileError, StoreFullError


def events(*pids):
    made = np.zeros(len(pids), dtype=EVENT_DTYPE)
    made["pid"], made["value"], made["time"] = pids, np.array(pids) / 2, np.array(pids) * 10**9
    return made


def held(queue):
    return queue.read(queue.oldest, queue.capacity)["pid"].tolist()


@pytest.fixture(params=["memory", "stored"])
def queue(request, tmp_path):
    made = EventQueue(10) if request.param == "memory" else StoredEventQueue(tmp_path, "up", 10)
    yield made
    made.close()


def test_events_keep_their_order_and_the_oldest_give_way(queue):
    queue.append(events(1, 2, 3))
    queue.append(events(*range(4, 13)))
    assert (queue.oldest, queue.next, held(queue)) == (2, 12, list(range(3, 13)))
    queue.append(events(*range(100, 125)))  # more than it holds
    assert (queue.oldest, queue.next, held(queue)) == (27, 37, list(range(115, 125)))
    assert queue.read(30, 3)["value"].tolist() == [59.0, 59.5, 60.0]


def test_a_new_group_begins_where_the_foremost_is(queue):
    assert queue.join("a") == Standing(0)
    queue.append(events(1, 2, 3))
    queue.stand("a", Standing(2, 1))
    assert queue.join("b") == Standing(2)
    assert queue.join("a") == Standing(2, 1)
    queue.keep_only({"b"})
    queue.stand("b", Standing(3))
    assert queue.join("a") == Standing(3)


def test_a_queue_without_room_is_refused():
    with pytest.raises(ConfigError):
        EventQueue(0)


def test_everything_is_there_after_a_restart(tmp_path):
    queue = StoredEventQueue(tmp_path, "up", 100)
    queue.join("a")
    queue.join("b")
    queue.append(events(1, 2, 3), source_seq=7)
    queue.append(events(4), source_seq=9)
    queue.append(events(), source_seq=12)  # noted only: nothing of it is stored
    queue.stand("a", Standing(2, 5))
    queue.close()
    again = StoredEventQueue(tmp_path, "up", 100)
    assert (again.oldest, again.next, again.source_seq, held(again)) == (0, 4, 9, [1, 2, 3, 4])
    assert (again.join("a"), again.join("b")) == (Standing(2, 5), Standing(0))
    assert again.read(0, 9).tobytes() == events(1, 2, 3, 4).tobytes()
    again.append(events(5), source_seq=13)
    again.close()
    smaller = StoredEventQueue(tmp_path, "up", 2)
    assert (smaller.oldest, held(smaller), smaller.source_seq) == (3, [4, 5], 13)
    smaller.close()


def test_what_every_group_has_leaves_the_file(tmp_path):
    queue = StoredEventQueue(tmp_path, "up", 100)
    queue.join("a")
    queue.join("b")
    for number in range(20):
        queue.append(events(number))
    queue.stand("a", Standing(20))
    queue.stand("b", Standing(15))
    queue.close()
    again = StoredEventQueue(tmp_path, "up", 100)
    assert (again.oldest, again.next) == (15, 20)
    again.stand("b", Standing(20))
    again.close()
    empty = StoredEventQueue(tmp_path, "up", 100)
    assert (empty.oldest, empty.next) == (20, 20)
    empty.append(events(77))
    assert held(empty) == [77]
    empty.close()


@given(st.lists(st.one_of(st.integers(1, 9), st.tuples(st.sampled_from("ab"), st.floats(0, 1)), st.just("again")), max_size=25))
@settings(max_examples=30, deadline=None)
def test_a_stored_queue_is_the_same_as_one_in_memory(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("queue")
    stored, memory, number = StoredEventQueue(folder, "up", 12), EventQueue(12), 0
    for queue in (stored, memory):
        queue.join("a")
        queue.join("b")
    for step in steps:
        if step == "again":
            stored.close()
            stored = StoredEventQueue(folder, "up", 12)
        elif isinstance(step, int):
            number += step
            for queue in (stored, memory):
                queue.append(events(*range(number, number + step)), number)
        else:
            for queue in (stored, memory):
                at = queue.join(step[0]).position
                queue.stand(step[0], Standing(at + round(step[1] * (memory.next - at))))
        low = min(memory.join(name).position for name in "ab")
        first = max(memory.oldest, low)
        assert (stored.next, stored.source_seq) == (memory.next, memory.source_seq)
        assert stored.oldest <= first
        assert stored.read(first, 99).tobytes() == memory.read(first, 99).tobytes() if first < memory.next else True
        assert [stored.join(name) for name in "ab"] == [memory.join(name) for name in "ab"]
    stored.close()


def test_a_disk_that_is_full_leaves_the_queue_as_it_was(tmp_path, monkeypatch):
    queue = StoredEventQueue(tmp_path, "up", 100)
    queue.append(events(1), source_seq=1)

    def full(*_, **__):
        raise StoreFullError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(queue._file, "write", full)
        with pytest.raises(StoreFullError):
            queue.append(events(2), source_seq=2)
    assert (queue.next, queue.source_seq) == (1, 1)
    queue.append(events(2), source_seq=2)
    queue.close()
    again = StoredEventQueue(tmp_path, "up", 100)
    assert held(again) == [1, 2]
    again.close()


def test_a_file_that_holds_nonsense_is_refused(tmp_path):
    queue = StoredEventQueue(tmp_path, "up", 100)
    queue.append(events(1, 2))
    queue.append(events(3))
    with queue._file.write() as txn:
        (first, _), (_, record) = txn.ascending("events")
        txn.put("events", first, record[:-1] + b"x")
    queue.close()
    with pytest.raises(CorruptFileError, match="checksum"):
        StoredEventQueue(tmp_path, "up", 100)
    queue = StoredEventQueue(tmp_path, "other", 100)
    queue.append(events(1))
    queue.append(events(2))
    queue.append(events(3))
    with queue._file.write() as txn:
        txn.delete("events", (1).to_bytes(8, "big"))
    queue.close()
    with pytest.raises(CorruptFileError, match="event 1 is followed by 2"):
        StoredEventQueue(tmp_path, "other", 100)
