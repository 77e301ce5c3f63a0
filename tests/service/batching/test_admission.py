import pytest

from service.batching import Admission
from service.errors import Overloaded


def test_there_is_room_for_so_many():
    door = Admission(most=2)
    door.enter()
    door.enter()
    with pytest.raises(Overloaded, match="2 requests are being computed or waiting"):
        door.enter()
    door.leave()
    door.enter()
    assert door.inside == 2


def test_when_to_come_again_follows_from_how_quickly_others_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    door = Admission(most=10)
    for _ in range(10):
        door.enter()
    for _ in range(5):
        now[0] += 2.0
        door.leave()
        door.enter()
    assert door.retry_after_s == 20


def test_nobody_is_sent_away_for_more_than_a_minute(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    door = Admission(most=10)
    door.enter()
    door.enter()
    now[0] += 1000
    door.leave()
    assert door.retry_after_s == 60
