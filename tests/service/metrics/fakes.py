"""Processes as ``/proc`` tells of them, and an engine that has one."""


class Engine:
    def __init__(self, pid, deaths=0):
        self.pid, self.deaths = pid, deaths


def process(root, pid, *, parent, name="python", ticks=(0, 0, 0, 0), pages=0, pss_kib=None):
    folder = root / str(pid)
    folder.mkdir()
    zeros = " ".join(["0"] * 9)
    numbers = " ".join(map(str, ticks))
    (folder / "stat").write_text(
        f"{pid} ({name}) S {parent} {zeros} {numbers} 20 0 1 0 77 1000 {pages} 99\n"
    )
    if pss_kib is not None:
        (folder / "smaps_rollup").write_text(
            f"0-1 ---p 0 0:0 0 [rollup]\nRss: 9 kB\nPss: {pss_kib} kB\nPss_Anon: 1 kB\n"
        )
