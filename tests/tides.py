"""A collection whose every chunk tells its version, and somebody who searches it all the while."""

import threading

from cluster.client import ShoalClient

FILES = 60


class Corpus:
    """A folder whose every file says which version of it all it is of."""

    def __init__(self, folder):
        self.folder = folder
        self.version = 0
        folder.mkdir()

    def write_next(self, files=FILES):
        self.version += 1
        for number in range(files):
            text = f"# Tide table {number}\n\nHigh water of version v{self.version} at {number}.\n"
            (self.folder / f"tide_{number}.md").write_text(text)


class Searching(threading.Thread):
    """Searches on and on, and keeps what is not as it should be.

    Attributes:
        wrong: What was not.
        answers: How many there were.
        versions: All that were seen.
    """

    def __init__(self, root):
        super().__init__(daemon=True)
        self._shoal = ShoalClient(root=root)
        self._ending = threading.Event()
        self.wrong = []
        self.answers = 0
        self.versions = set()

    def run(self):
        while not self._ending.is_set():
            try:
                self._look(high_water(self._shoal, 50))
            except Exception as error:  # noqa: BLE001 - shown by the test
                self.wrong.append(repr(error))

    def _look(self, answer):
        versions = versions_of(answer)
        if answer.coverage < 1 or len(answer.hits) < 50 or len(versions) != 1:
            self.wrong.append((answer.coverage, len(answer.hits), versions))
        self.answers += 1
        self.versions |= versions

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self.join()
        self._shoal.close()


def high_water(shoal, limit=10):
    return shoal.search("high water of tide", collections=["tides"], limit=limit)


def versions_of(answer):
    return {hit.text.split("version ")[1].split()[0] for hit in answer.hits}
