"""A PUBACK is no promise: brokers that confirm what they lose. Everything still arrives, once."""
import unittest

from fleet import Fleet, wait_for
from link import LyingBroker
from load import RULE, Load, arrived, stored


class Lies(unittest.TestCase):
    def test_every_seventh_message_is_confirmed_and_thrown_away(self):
        """Batches, hellos, acks and welcomes alike, in both directions."""
        with Fleet() as fleet:
            with LyingBroker(fleet, "g1", 7) as liar:
                g1 = fleet.gateway("g1", settings=RULE, central_port=liar.port)
                with Load(g1, messages_per_second=50) as load:
                    wait_for("load", lambda: len(load.taken) >= 600, 60)
                wait_for("the newest reading in the store", lambda: arrived(fleet, load), 60)
                wait_for("everything is acknowledged", lambda: g1.metric("basmalin_agent_unacked_batches") == 0, 90)
                print(f"of {liar.published} messages {liar.lies} were lost; {g1.metric('basmalin_agent_resent_messages_total'):.0f} messages sent again")
                self.assertGreater(liar.lies["up"], 5)
                self.assertGreater(liar.lies["down"], 3)
                counts = stored(fleet, "g1", ["load"])
                g1.stop()
            self.assertEqual(load.unsure, {})
            self.assertEqual(set(counts.values()), {1}, "stored twice")
            self.assertEqual(set(counts), {("load", f"q{i:02}", n) for n in load.taken for i in range(load.values)})


if __name__ == "__main__":
    unittest.main(verbosity=2)
