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


def test_requests_may_be_so_large_together():
    door = Admission(most=9, most_bytes=100)
    door.enter(60)
    with pytest.raises(Overloaded, match="have 60 bytes, and this request's 41; 100 may be there"):
        door.enter(41)
    door.enter(40)
    door.leave(60)
    door.enter(60)
    assert (door.inside, door.bytes_inside) == (2, 100)


def test_one_that_is_too_large_with_others_comes_in_alone():
    door = Admission(most=9, most_bytes=100)
    door.enter(1000)
    with pytest.raises(Overloaded, match="try again in 1 s") as refusal:
        door.enter(1)
    assert refusal.value.retry_after_s == 1
    door.leave(1000)
    door.enter(1)


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


def test_room_can_be_asked_for_before_coming_in():
    door = Admission(most=1)
    door.require_room()
    door.enter()
    with pytest.raises(Overloaded, match="1 requests are being computed"):
        door.require_room()
    door.leave()
    door.require_room()
