"""The description of the HTTP API by what others make of it: a validator, a caller of every operation, a stock client. They
are npm packages, pinned in test/openapi and installed beside the build."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import House, wait_until

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "openapi"
FILES = ("package.json", "package-lock.json", "check.mjs")


def installed():
    """The folder with the packages; installs them when the lock file is another than the last time."""
    folder = pathlib.Path(os.environ.get("NEXUS_NPM_DIR") or pathlib.Path(tempfile.gettempdir()) / "nexus-openapi")
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "package-lock.json"
    fresh = not lock.exists() or lock.read_bytes() != (SOURCES / "package-lock.json").read_bytes()
    if fresh or not (folder / "node_modules").exists():
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        lock.unlink(missing_ok=True)
        shutil.copy(SOURCES / "package.json", folder)
        with tempfile.TemporaryDirectory(prefix="nexus-npm-") as scratch:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCES / name, scratch)
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=scratch, check=True, timeout=300)
            shutil.copytree(pathlib.Path(scratch) / "node_modules", folder / "node_modules", symlinks=True)
        shutil.copy(SOURCES / "package-lock.json", lock)  # last: only a whole folder is used again
    shutil.copy(SOURCES / "check.mjs", folder)
    return folder


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = installed()

    def node(self, house, verb):
        done = subprocess.run(["node", "check.mjs", verb, f"http://{house.http}"], cwd=self.folder, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-4000:])
        return done.stdout

    def test_document_is_valid_and_every_operation_does_as_it_says(self):
        with House() as house:
            keys = house.folder / "keys"
            keys.write_text("k1\n")
            keys.chmod(0o600)
            house.start_server("--scheduler-keys-file", str(keys))
            house.start_worker("w1", "--types", "known")
            wait_until("the worker is ready", lambda: house.status()["workers_ready"] == 1)
            house.submit_exec("true", flags=("--type", "known", "--wait"))
            self.assertIn("valid", self.node(house, "validate"))
            self.assertIn("operations answer as described", self.node(house, "calls"))

    def test_a_stock_client_submits_watches_and_cancels(self):
        with House() as house:
            house.start_server()
            self.assertIn("submitted, watched and cancelled", self.node(house, "client"))


if __name__ == "__main__":
    unittest.main()
