"""The cores that a process may use, as control groups of both versions limit them."""

import os

import pytest

from service.cores import Cores, usable_cores

THERE = float(len(os.sched_getaffinity(0)))
V2 = "31 23 0:28 {root} {point} rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "32 31 0:29 {root} {point} rw,relatime - cgroup cgroup rw,cpuacct,cpu\n"
    "33 31 0:30 / /elsewhere rw,relatime - cgroup cgroup rw,cpuset\n"
)


@pytest.fixture
def machine(tmp_path):
    """A kernel that tells of a process in a control group; gives the folder of the groups."""
    groups = tmp_path / "control groups"
    (tmp_path / "proc/self").mkdir(parents=True)
    (groups / "kubepods/pod").mkdir(parents=True)

    def tell(own, *, mount=V2, root="/"):
        point = str(groups).replace(" ", "\\040")
        (tmp_path / "proc/self/cgroup").write_text(own)
        mounts = "21 1 8:1 / / rw - ext4 /dev/sda rw\n" + mount.format(root=root, point=point)
        (tmp_path / "proc/self/mountinfo").write_text(mounts)
        return usable_cores(tmp_path / "proc")

    return groups, tell


def test_the_quota_of_a_group_is_a_number_of_cores(machine):
    groups, tell = machine
    (groups / "kubepods/pod/cpu.max").write_text("45000 100000\n")
    assert tell("0::/kubepods/pod\n") == Cores(0.45, "quota")


def test_the_smallest_quota_on_the_way_up_counts(machine):
    groups, tell = machine
    (groups / "kubepods/pod/cpu.max").write_text("max 100000\n")
    (groups / "kubepods/cpu.max").write_text("30000 100000\n")
    (groups / "cpu.max").write_text("40000 50000\n")
    assert tell("0::/kubepods/pod\n") == Cores(0.3, "quota")


def test_version_1_has_a_hierarchy_for_processors(machine):
    groups, tell = machine
    (groups / "kubepods/pod/cpu.cfs_quota_us").write_text("-1\n")
    (groups / "kubepods/pod/cpu.cfs_period_us").write_text("100000\n")
    (groups / "kubepods/cpu.cfs_quota_us").write_text("25000\n")
    (groups / "kubepods/cpu.cfs_period_us").write_text("50000\n")
    own = "9:cpuset:/other\n4:cpu,cpuacct:/kubepods/pod\n0::/\n"
    assert tell(own, mount=V1) == Cores(0.5, "quota")


@pytest.mark.parametrize(
    ("own", "root"),
    [
        ("0::/docker/abc\n", "/docker/abc"),  # the host's path, of which the container sees the end
        ("0::/\n", "/"),  # a namespace of its own
        ("0::/../../elsewhere\n", "/"),  # a group that is outside of the namespace
        ("0::/somewhere/else\n", "/docker/abc"),
    ],
)
def test_a_container_sees_its_own_group_where_groups_are_mounted(machine, own, root):
    groups, tell = machine
    (groups / "cpu.max").write_text("10000 100000\n")
    assert tell(own, root=root) == Cores(0.1, "quota")


@pytest.mark.parametrize("quota", ["max 100000", "100000000 100000", "", "what? 100000"])
def test_without_a_quota_that_is_less_it_is_what_the_process_may_run_on(machine, quota):
    groups, tell = machine
    (groups / "cpu.max").write_text(quota)
    assert tell("0::/\n").count == THERE
    assert tell("0::/\n").source in ("affinity", "machine")


def test_where_the_kernel_tells_of_no_groups_there_is_no_quota(tmp_path):
    assert usable_cores(tmp_path).count == THERE


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
@pytest.mark.skipif(os.cpu_count() == 1, reason="there is no core to leave out")
def test_affinity_is_what_is_left_of_the_machine(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores(tmp_path) == Cores(1.0, "affinity")
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("count", "threads"), [(0.25, 1), (1.0, 1), (1.5, 1), (2.0, 2), (3.99, 3), (64.0, 64)]
)
def test_a_fraction_of_a_core_is_no_threads(count, threads):
    assert Cores(count, "quota").whole == threads
