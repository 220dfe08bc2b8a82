"""`basmalin-agent buffer check | repair | export` on files that are sound, damaged, or none."""
import csv
import hashlib
import io
import pathlib
import sqlite3
import subprocess
import tempfile
import unittest

from fleet import BIN


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)


class BufferCommand(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="basmalin-test-")
        self.addCleanup(self.folder.cleanup)
        self.file = pathlib.Path(self.folder.name) / "buffer.db"
        made = run(BIN / "make_backlog", self.folder.name, 1000, 10)
        self.assertEqual(made.returncode, 0, made.stderr)

    def command(self, what, *more):
        return run(BIN / "basmalin-agent", "buffer", what, self.file, *more)

    def damage(self, which):
        """Flips a byte in the middle of the which-th batch, as a card does that forgets."""
        with sqlite3.connect(self.file) as db:
            number, data = db.execute("SELECT id, bytes FROM batch ORDER BY id LIMIT 1 OFFSET ?", (which - 1,)).fetchone()
            data = bytearray(data)
            data[len(data) // 2] ^= 0x40
            db.execute("UPDATE batch SET bytes = ? WHERE id = ?", (bytes(data), number))
        db.close()

    def digest(self):
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def test_a_sound_file_is_said_to_be_and_every_reading_comes_out(self):
        before = self.digest()
        checked = self.command("check")
        self.assertEqual((checked.returncode, checked.stderr), (0, ""), checked.stdout)
        self.assertIn("sound: 100 batches with 1000 readings", checked.stdout)
        exported = self.command("export")
        self.assertEqual((exported.returncode, exported.stderr), (0, ""))
        rows = list(csv.DictReader(io.StringIO(exported.stdout)))
        self.assertEqual(len(rows), 1000)
        self.assertEqual(len({(row["device"], row["quantity"], row["time"], row["value"]) for row in rows}), 1000)
        self.assertEqual(self.command("repair").stdout, "sound: nothing to repair\n")
        self.assertEqual(self.digest(), before)

    def test_a_damaged_batch_is_named_and_left_out(self):
        self.damage(7)
        before = self.digest()
        checked = self.command("check")
        self.assertEqual(checked.returncode, 1)
        self.assertIn("damaged: 1 of 100 batches", checked.stdout)
        self.assertRegex(checked.stderr, r"^batch 7 of stream [0-9a-f]{16}: ")
        exported = self.command("export")
        self.assertEqual(exported.returncode, 1)
        self.assertEqual(len(exported.stdout.splitlines()), 1 + 990)
        self.assertIn("1 of 100 batches could not be read", exported.stderr)
        self.assertEqual(self.digest(), before, "a look at the file changed it")

    def test_what_is_no_buffer_is_told_with_the_remedy(self):
        self.file.write_bytes(b"no database " * 1000)
        for word in ("check", "export"):
            looked = self.command(word)
            self.assertEqual(looked.returncode, 1, word)
            self.assertIn("not a database", looked.stdout + looked.stderr)
        self.file.unlink()
        looked = self.command("check")
        self.assertEqual(looked.returncode, 1)
        self.assertIn("no such file", looked.stderr)
        self.assertIn("STATE_FOLDER/buffer.db", looked.stderr)
        self.assertEqual(self.command("export", "--format", "xml").returncode, 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
