"""The tour of docs/rest.md, command by command, as it stands there: what a comment behind a command says is in its output."""
import pathlib
import re
import subprocess
import unittest

from harness import House, wait_until

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "rest.md"


def steps():
    """(commands, what their output must hold) of each block that is marked as a part of the tour."""
    for block in re.findall(r"^```sh tour\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        commands, wanted = [], []
        for line in block.splitlines():
            if line.startswith("# "):
                wanted.append(line[2:])
                continue
            if wanted:
                yield "\n".join(commands), wanted
                commands, wanted = [], []
            commands.append(line)
        yield "\n".join(commands), wanted


class Tour(unittest.TestCase):
    def test_every_command_does_what_the_page_says(self):
        with House() as house:
            house.start_server()
            house.start_worker("w1")
            wait_until("the worker is ready", lambda: house.status()["workers_ready"] == 1)
            # One shell, so that a variable of one step is there in the next.
            shell = subprocess.Popen(["bash", "-eo", "pipefail"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     text=True, env={"PATH": "/usr/bin:/bin", "N": f"http://{house.http}"})
            self.addCleanup(shell.stdout.close)
            self.addCleanup(shell.kill)
            count = 0
            for commands, wanted in steps():
                shell.stdin.write(commands + "\necho; echo THE-STEP-IS-OVER\n")
                shell.stdin.flush()
                said = []
                for line in shell.stdout:
                    if line.strip() == "THE-STEP-IS-OVER":
                        break
                    said.append(line)
                text = "".join(said)
                self.assertIsNone(shell.poll(), f"{commands}\n{text}")
                for words in wanted:
                    self.assertIn(words, text, commands)
                count += 1
            self.assertGreater(count, 12)
            shell.stdin.close()
            self.assertEqual(shell.wait(timeout=20), 0)


if __name__ == "__main__":
    unittest.main()
