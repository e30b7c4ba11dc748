"""The way between two regions: half of the round trip, some jitter, and now and then a packet that is sent again."""

from xyzsite.localregions.distance import REAL, RESEND_SECONDS, checked


def test_a_way_is_half_of_there_and_back():
    assert checked(62).way(lambda: 0.999) == 0.031


def test_jitter_is_added_up_to_its_bound():
    assert checked(10, jitter=4).way(lambda: 0.5) == 0.005 + 0.002


def test_a_lost_packet_is_sent_again_after_a_time_out():
    assert checked(10, loss=1).way(lambda: 0.009) == 0.005 + RESEND_SECONDS
    assert checked(400, loss=1).way(lambda: 0.009) == 0.2 + 0.4
    assert checked(10, loss=1).way(lambda: 0.01) == 0.005


def test_each_two_regions_have_a_real_distance():
    assert sorted(REAL.values()) == [12, 50, 62]
