"""README.md, 'A real Raspberry Pi', to the letter: its settings, its commands for the brokers, and the systemd units, which run each
program as a user that cannot read root's files."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import unittest

from fleet import BIN, MOSQUITTO, ROOT, Device, Fleet, Program, answers, free_port, http_get, wait_for

README = (ROOT / "README.md").read_text()
NOBODY = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def block(first_line):
    """The indented block of README.md that begins with this line."""
    lines = README.splitlines()
    start = lines.index("       " + first_line)
    end = next((i for i in range(start, len(lines)) if lines[i] and not lines[i].startswith("       ")), len(lines))
    return "\n".join(line[7:] for line in lines[start:end]) + "\n"


def broker_settings(name, **replaced):
    """What README.md's sed makes of a broker's settings, with some of its words replaced for the test."""
    command, = re.findall(rf"^ +(sed .* packaging/mosquitto/{name}) \| sudo tee /etc/mosquitto/mosquitto.conf$", README, re.M)
    made = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for word, value in replaced.values():
        assert word in made, f"{word} is not in what README.md makes of {name}"
        made = made.replace(word, str(value))
    return made


class Unit:
    """What a service manager reads of a unit: the credentials by name, and the command."""

    def __init__(self, name):
        self.name = name
        self.text = (ROOT / f"packaging/systemd/{name}.service").read_text()
        self.credentials = dict(re.findall(r"^LoadCredential=([^:]+):(.+)$", self.text, re.M))
        self.command = shlex.split(re.search(r"^ExecStart=(.+)$", self.text, re.M)[1])


class RealPi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = Fleet()
        cls.addClassCleanup(lambda: cls.fleet.__exit__(None))
        cls.fleet.certificate("rose-court-1")
        cls.fleet.broker.start()
        os.chmod(cls.fleet.folder, 0o755)
        # /etc/basmalin, by the names that the README's install commands give.
        cls.etc = cls.fleet.folder / "etc"
        cls.etc.mkdir(mode=0o755)
        for source, name in (("ca.crt",) * 2, ("coordinator.crt",) * 2, ("coordinator.key",) * 2,
                             ("rose-court-1.crt", "node.crt"), ("rose-court-1.key", "node.key")):
            shutil.copy(cls.fleet.folder / "certs" / source, cls.etc / name)
            os.chmod(cls.etc / name, 0o600)
        for name, first_line in (("agent", 'node = "rose-court-1"'), ("coordinator", "[broker]")):
            (cls.etc / f"{name}.toml").write_text(block(first_line).replace("/etc/basmalin", str(cls.etc)))

    def own_folder(self, name):
        """A folder of the user that the program runs as."""
        folder = self.fleet.folder / name
        folder.mkdir(mode=0o700)
        if NOBODY:
            shutil.chown(folder, NOBODY["user"], NOBODY["group"])
        return folder

    def start(self, name, *settings, ready):
        """Runs a unit's command as systemd would: with its credentials, and without a right to anything else of root's."""
        unit = Unit(name)
        credentials = self.own_folder(f"credentials-{name}")
        for credential, source in unit.credentials.items():
            copy = credentials / credential
            shutil.copy(source.replace("/etc/basmalin", str(self.etc)), copy)
            os.chmod(copy, 0o400)
            if NOBODY:
                shutil.chown(copy, NOBODY["user"], NOBODY["group"])
        # The build may be where only root looks.
        program = shutil.copy(BIN / pathlib.Path(unit.command[0]).name, self.fleet.folder)
        words = [w.replace("%d", str(credentials)).replace("/etc/basmalin", str(self.etc)) for w in unit.command[1:]]
        for setting in settings:
            words += ["--set", setting]
        log = open(self.fleet.folder / f"{name}.log", "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen([program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                   env={**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)}, **NOBODY)
        self.addCleanup(process.wait, 15)
        self.addCleanup(process.terminate)
        wait_for(f"{name} is connected", ready)

    def test_its_settings_are_right(self):
        for name in ("agent", "coordinator"):
            with self.subTest(program=name):
                checked = subprocess.run([BIN / f"basmalin-{name}", "--config", self.etc / f"{name}.toml", "check-config"],
                                         capture_output=True, text=True)
                self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_a_password_of_the_garden_comes_as_a_credential(self):
        self.assertIn("LoadCredential=garden-password:", block("[Service]"))
        credentials = self.own_folder("credentials-garden")
        (credentials / "garden-password").write_text("correct horse\n")
        os.chmod(credentials / "garden-password", 0o400)
        config = self.etc / "agent-with-password.toml"
        config.write_text((self.etc / "agent.toml").read_text() + block("[local]"))
        checked = subprocess.run([BIN / "basmalin-agent", "--config", config, "check-config"], capture_output=True, text=True,
                                 env={**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)})
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_the_units_are_well_formed(self):
        for name in ("basmalin-agent", "basmalin-coordinator"):
            unit = Unit(name)
            used = set(re.findall(r"%d/(\S+)", " ".join(unit.command)))
            self.assertEqual(used, set(unit.credentials), f"{name}: what is handed over is what is read")
            if shutil.which("systemd-analyze"):
                copy = self.fleet.folder / f"{name}.service"
                copy.write_text(unit.text.replace(unit.command[0], str(BIN / name)))
                said = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
                self.assertEqual((said.returncode, said.stderr), (0, ""), name)

    def test_the_agent_reads_its_key_without_being_root(self):
        port = free_port()
        self.start("basmalin-agent", f"state_folder={self.own_folder('state')}", "central.host=localhost",
                   f"central.port={self.fleet.broker_port}", f"http.port={port}",
                   ready=lambda: "\nbasmalin_agent_central_connected 1\n" in http_get(f"http://127.0.0.1:{port}/metrics")[1])

    def test_the_coordinator_reads_its_key_without_being_root(self):
        port = free_port()
        self.start("basmalin-coordinator", f"store.folder={self.own_folder('store')}", "broker.host=localhost",
                   f"broker.port={self.fleet.broker_port}", f"http.port={port}",
                   ready=lambda: http_get(f"http://127.0.0.1:{port}/api/health")[0] == 200)

    def test_the_pis_broker_hears_the_garden(self):
        port = free_port()
        user = "root" if NOBODY else os.environ.get("USER", "")
        conf = self.fleet.folder / "gateway.conf"
        conf.write_text(broker_settings("gateway.conf", port=("listener 1883", f"listener {port}"), lan=("192.168.4.1", "127.0.0.2"),
                                        user=("user mosquitto", f"user {user}")))
        self.assertNotIn("@", conf.read_text())
        broker = Program(self.fleet.folder, "gateway-broker", [MOSQUITTO, "-c", conf], answers(port)).start()
        self.addCleanup(broker.stop)
        for address in ("127.0.0.1", "127.0.0.2"):
            with Device(port, address) as device:
                device.publish("bed1/sensor/soil/state", "5")

    def test_the_central_brokers_settings_are_whole(self):
        self.assertNotIn("@", broker_settings("central.conf"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
