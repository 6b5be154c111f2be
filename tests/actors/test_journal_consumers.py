"""The journal is kept for those who would miss it: a restart finds no gap, however long nothing happened that they store."""

from actors.harness import Disk
from actors.test_event_actor import events, life

from scada.actors.messages import Changed, Tick


def test_a_restart_after_days_without_an_event_finds_no_gap(tmp_path):
    disk = Disk(tmp_path)
    actor = life(disk)
    told = len(events(disk))
    for hour in range(60):  # an analog without limits: nothing for the event log to write
        disk.clock.advance(3600)
        actor.receive(Changed(disk.put([3], [float(hour)])))
        actor.receive(Tick())
        disk.store.checkpoint()
    assert disk.log.stored_seq < disk.store.head - 50, "the log has not even written how far it came"
    assert disk.store.oldest <= disk.log.stored_seq + 1, "two days are more than the journal keeps by itself"
    disk.die()
    disk.open()
    actor = life(disk)
    assert [event.key for event in events(disk)[told:] if "gap" in event.key] == []
    disk.log.close()
    for _ in range(2):
        disk.clock.advance(25 * 3600)
        disk.store.checkpoint()
    disk.store.unregister("events")
    disk.store.checkpoint()
    assert disk.store.oldest == disk.store.head + 1, "without the registration it is gone"
    disk.die()
