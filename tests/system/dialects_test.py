"""A reading of each dialect, from the gateway's own broker to the API."""
import unittest

from fleet import Fleet, wait_for

HA = "homeassistant/sensor/greenhouse/air/config"
HA_CONFIG = {"name": "Air", "uniq_id": "gh_air", "stat_t": "~/air", "~": "garden/greenhouse", "unit_of_meas": "°C",
             "dev_cla": "temperature", "val_tpl": "{{ value_json.t | float }}",
             "dev": {"ids": ["greenhouse"], "name": "Greenhouse", "mdl": "TH-1", "sw": "1.4.2"}}
HA_DEVICE = "homeassistant/device/barrel/config"
HA_DEVICE_CONFIG = {"dev": {"ids": ["barrel"], "name": "Rain barrel"}, "o": {"name": "test"}, "state_topic": "garden/barrel/state",
                    "cmps": {"level": {"p": "sensor", "unique_id": "barrel_level", "device_class": "distance",
                                       "unit_of_measurement": "cm", "value_template": "{{ value_json.level }}"}}}


class Dialects(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = Fleet().__enter__()
        cls.addClassCleanup(lambda: cls.fleet.__exit__(None))
        rules = '[[sources.rule]]\ntopic = "pump/+/data"\ndevice = "pump_{1}"\nquantity = "pressure"\npath = "p.bar"\nunit = "bar"\n'
        cls.g1 = cls.fleet.gateway("g1", settings=rules)
        cls.device = cls.g1.device()
        cls.addClassCleanup(cls.device.close)

    def arrives(self, device, quantity, value, unit=None):
        def look():
            for series in self.fleet.items("/api/series", node="g1", device=device):
                if series["quantity"] == quantity:
                    return series
        series = wait_for(f"{device}/{quantity} in /api/series", look)
        if unit is not None:
            self.assertEqual(series["unit"], unit)
        rows = wait_for(f"a reading of {device}/{quantity}", lambda: self.fleet.readings("g1", device, quantity))
        self.assertEqual([row["value"] for row in rows], [value])

    def test_esphome_without_discovery(self):
        self.device.publish("bed1/sensor/soil_moisture/state", "41.5")
        self.arrives("bed1", "soil_moisture", "41.5")

    def test_home_assistant_discovery_abbreviated(self):
        self.discover(HA, HA_CONFIG)
        self.device.publish("garden/greenhouse/air", {"t": 21.4})
        self.arrives("greenhouse", "air", "21.4", "Cel")

    def test_home_assistant_discovery_device_form(self):
        self.discover(HA_DEVICE, HA_DEVICE_CONFIG)
        self.device.publish("garden/barrel/state", {"level": 87})
        self.arrives("barrel", "level", "87", "cm")

    def discover(self, topic, config):
        """A discovered topic is heard from when the agent has subscribed to it."""
        before = self.g1.metric("basmalin_agent_discovered_entities")
        self.device.publish(topic, config, retain=True)
        wait_for("the agent to subscribe", lambda: self.g1.metric("basmalin_agent_discovered_entities") > before)

    def test_tasmota(self):
        self.device.publish("tele/shed/SENSOR", {"Time": "1970-01-01T00:00:09", "BME280": {"Temperature": 21.7, "Humidity": 66.6,
                                                 "Pressure": 988.6}, "PressureUnit": "hPa", "TempUnit": "C"})
        self.arrives("shed", "bme280_temperature", "21.7", "Cel")
        self.arrives("shed", "bme280_humidity", "66.6", "%")

    def test_tasmota_nested_zigbee(self):
        self.device.publish("tele/zbridge/SENSOR", {"ZbReceived": {"0x4773": {"Device": "0x4773", "Name": "pond", "Temperature": 9.5,
                                                    "LinkQuality": 92}}})
        self.arrives("pond", "temperature", "9.5", "Cel")

    def test_zigbee2mqtt(self):
        self.device.publish("zigbee2mqtt/terrace", {"temperature": 27.34, "humidity": 44.72, "battery": 81, "linkquality": 120})
        self.arrives("terrace", "temperature", "27.34", "Cel")

    def test_homie_5(self):
        description = {"homie": "5.0", "version": 1, "nodes": {"soil": {"properties": {
            "moisture": {"datatype": "float", "unit": "%"}}}}}
        self.device.publish("homie/5/bed7/$state", "ready", retain=True)
        self.device.publish("homie/5/bed7/$description", description, retain=True)
        self.device.publish("homie/5/bed7/soil/moisture", "37.5", retain=True)
        self.arrives("bed7", "soil_moisture", "37.5", "%")

    def test_senml(self):
        self.device.publish("senml/weather", [{"bn": "weather:", "n": "temperature", "u": "Cel", "v": 18.25}])
        self.arrives("weather", "temperature", "18.25", "Cel")

    def test_rule_table(self):
        self.device.publish("pump/3/data", {"p": {"bar": 2.5}})
        self.arrives("pump_3", "pressure", "2.5", "bar")

    def test_text_and_boolean_states(self):
        self.device.publish("bed2/binary_sensor/leak/state", "ON")
        self.device.publish("bed2/text_sensor/mode/state", "auto")
        self.arrives("bed2", "leak", "true")
        self.arrives("bed2", "mode", "auto")

    def test_a_retained_message_is_not_a_new_reading(self):
        self.device.publish("bed3/sensor/temperature/state", "12.5", retain=True)
        self.arrives("bed3", "temperature", "12.5")
        self.g1.agent.kill9()
        self.g1.agent.start()
        wait_for("the agent is back", self.g1.listening)
        self.device.publish("bed3/sensor/temperature/state", "12.75", retain=True)
        wait_for("the second reading", lambda: len(self.fleet.readings("g1", "bed3", "temperature")) >= 2)
        self.assertEqual([row["value"] for row in self.fleet.readings("g1", "bed3", "temperature")], ["12.5", "12.75"])

    def test_device_health_is_published_retained_and_shown(self):
        self.device.publish("zigbee2mqtt/arbour", {"temperature": 20.1, "battery": 64, "linkquality": 255})
        def look():
            return [d for d in self.fleet.items("/api/devices", node="g1") if d["device"] == "arbour" and d.get("health")]
        health = wait_for("arbour's health", look)[0]["health"]
        self.assertEqual(health["state"], "ok")
        self.assertEqual(health["battery_percent"], 64)


if __name__ == "__main__":
    unittest.main(verbosity=2)
