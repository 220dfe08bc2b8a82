"""packaging/quickstart --check, as a newcomer runs it, and a second start on the same data."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from fleet import BIN, ROOT, free_port


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="basmalin-quickstart-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def run_check(self, **more):
        environment = {**os.environ, "FLEET_DIR": str(self.folder), "BASMALIN_BIN": str(BIN), "API_PORT": str(free_port()),
                       "CHECK_SECONDS": "90", **more}
        return subprocess.run([ROOT / "packaging/quickstart", "--check"], env=environment, capture_output=True, text=True, timeout=180)

    def test_check_sees_readings_and_a_second_start_keeps_them(self):
        for _ in range(2):
            done = self.run_check()
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("garden", done.stdout)
            self.assertTrue((self.folder / "url").read_text().startswith("http://127.0.0.1:"))
            self.assertEqual((self.folder / "token").stat().st_mode & 0o777, 0o600)

    def test_check_says_in_one_line_what_is_missing(self):
        broken = self.folder / "bin"
        broken.mkdir()
        for program in ("basmalin", "basmalin-coordinator"):
            os.symlink(BIN / program, broken / program)
        (broken / "basmalin-agent").write_text("#!/bin/sh\necho no agent today\nexit 3\n")
        (broken / "basmalin-agent").chmod(0o755)
        done = self.run_check(BASMALIN_BIN=str(broken))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn("agent", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
