// Every dialect but discovery, as stories: what was published, what was read.
#include "tests/agent/sources/vocabulary.h"

namespace basmalin::agent {
namespace {

using Lines = std::vector<std::string>;

TEST(Tasmota, ReadsWhatItsSensorsSay) {
    const Story stories[] = {
        {"units are siblings, Time is not believed",
         {{"tele/bed1/SENSOR",
           R"({"Time":"1970-01-01T00:00:10","BME280":{"Temperature":21.7,"Humidity":66.6,"DewPoint":15.2,"Pressure":988.6},"PressureUnit":"hPa","TempUnit":"C"})"}},
         {"bed1/bme280_temperature=21.7 Cel", "bed1/bme280_humidity=66.6 %", "bed1/bme280_dew_point=15.2 Cel",
          "bed1/bme280_pressure=988.6 hPa"},
         {"bed1: seen"}},
        {"Fahrenheit and mmHg",
         {{"tele/bed1/SENSOR", R"({"BMP280":{"Temperature":71.1,"Pressure":741.5},"PressureUnit":"mmHg","TempUnit":"F"})"}},
         {"bed1/bmp280_temperature=71.1 [degF]", "bed1/bmp280_pressure=741.5 mm[Hg]"}},
        {"several sensors at once keep their own names",
         {{"tele/bed1/SENSOR",
           R"({"DS18B20-1":{"Id":"0114556C","Temperature":18.4},"DS18B20-2":{"Id":"0114557A","Temperature":19.1},"TempUnit":"C"})"}},
         {"bed1/ds18b20_1_temperature=18.4 Cel", "bed1/ds18b20_2_temperature=19.1 Cel"}},
        {"one sensor of the same kind is called no differently",
         {{"tele/bed1/SENSOR", R"({"DS18B20-1":{"Id":"0114556C","Temperature":18.4}})"}},
         {"bed1/ds18b20_1_temperature=18.4 Cel"}},
        {"analog input, switch input",
         {{"tele/bed1/SENSOR", R"({"ANALOG":{"A0":512},"Switch1":"ON","Switch2":"OFF"})"}},
         {"bed1/analog_a0=512", "bed1/switch1=true", "bed1/switch2=false"}},
        {"energy has its units, phases are numbered, constant texts are no readings",
         {{"tele/pump/SENSOR",
           R"({"ENERGY":{"TotalStartTime":"2024-01-01T00:00:00","Total":12.5,"Power":[700,0,3],"Voltage":230,"Factor":0.98,"Period":4}})"}},
         {"pump/energy_total=12.5 kW.h", "pump/energy_power_1=700 W", "pump/energy_power_2=0 W", "pump/energy_power_3=3 W",
          "pump/energy_voltage=230 V", "pump/energy_factor=0.98 1", "pump/energy_period=4 W.h"}},
        {"a sensor that fails says null",
         {{"tele/bed1/SENSOR", R"({"AM2301":{"Temperature":null,"Humidity":40}})"}},
         {"bed1/am2301_humidity=40 %"}},
        {"air quality",
         {{"tele/a/SENSOR", R"({"PMS5003":{"PM2.5":8},"SCD30":{"CarbonDioxide":611,"eCO2":600}})"}},
         {"a/pms5003_pm2_5=8 ug/m3", "a/scd30_carbon_dioxide=611 [ppm]", "a/scd30_eco2=600 [ppm]"}},
        {"STATE: relay, signal, supply",
         {{"tele/pump/STATE",
           R"({"Time":"x","Uptime":"1T00:00:00","Vcc":3.1,"POWER1":"ON","POWER2":"OFF","Wifi":{"RSSI":72,"Signal":-64}})"}},
         {"pump/vcc=3.1 V", "pump/power1=true", "pump/power2=false", "pump/wifi_signal=-64 dBm"},
         {"pump: rssi -64", "pump: link 72", "pump: seen"}},
        {"LWT, retained, is availability", {{"tele/pump/LWT", "Offline", true}}, {}, {"pump: away"}},
        {"LWT, live, is a sign of life", {{"tele/pump/LWT", "Online"}}, {}, {"pump: available", "pump: seen"}},
        {"POWER is a boolean", {{"stat/pump/POWER", "ON"}}, {"pump/power=true"}},
        {"RESULT is one too", {{"stat/pump/RESULT", R"({"POWER2":"OFF"})"}}, {"pump/power2=false"}},
        {"other results are not readings", {{"stat/pump/RESULT", R"({"Backlog":"Appended","TelePeriod":300})"}}, {}},
        {"STATUS is not read", {{"stat/pump/STATUS", R"({"Status":{"Power":1}})"}}, {}},
        {"the other FullTopic", {{"pump/tele/SENSOR", R"({"ANALOG":{"A0":3}})"}}, {"pump/analog_a0=3"}},
        {"a topic of several levels", {{"tele/garden/bed1/SENSOR", R"({"ANALOG":{"A0":3}})"}}, {"garden_bed1/analog_a0=3"}},
        {"INFO1 tells the firmware",
         {{"tele/pump/INFO1", R"~({"Info1":{"Module":"Generic","Version":"14.3.0(tasmota)"}})~"}},
         {},
         {"pump: firmware 14.3.0(tasmota)"}},
        {"Zigbee behind Tasmota is a device by its name",
         {{"tele/zb/SENSOR",
           R"({"ZbReceived":{"0x4773":{"Device":"0x4773","Name":"soil1","Temperature":21.4,"Endpoint":1,"LinkQuality":51,"BatteryPercentage":87,"0006!01":""}}})"}},
         {"soil1/temperature=21.4 Cel", "soil1/link_quality=51", "soil1/battery_percentage=87 %"},
         {"soil1: battery 87", "soil1: link 20", "soil1: seen"}},
        {"… by its address without one; a toggle is no state",
         {{"tele/zb/SENSOR", R"({"ZbReceived":{"0x3476":{"Device":"0x3476","Power":2,"Contact":1}}})"}},
         {"0x3476/contact=1"}},
        {"… with Power as a number or a boolean",
         {{"tele/zb/SENSOR", R"({"ZbReceived":{"plug":{"Power":1},"lamp":{"Power":false}}})"}},
         {"plug/power=true", "lamp/power=false"}},
        {"… and without ZbReceived",
         {{"tele/zb/294C/SENSOR", R"({"0x294C":{"Device":"0x294C","Name":"door","Contact":true}})"}},
         {"door/contact=true"}},
        {"LoRa",
         {{"tele/lw/SENSOR", R"({"LwReceived":{"far":{"Node":1,"RSSI":-101,"SNR":7,"Moisture":31}}})"}},
         {"far/rssi=-101 dBm", "far/snr=7 dB", "far/moisture=31 %"},
         {"far: rssi -101"}},
        {"discovery tells name, model, firmware once the device speaks",
         {{"tasmota/discovery/A4CF12/config", R"({"dn":"Pump","fn":["Pump",null],"t":"pump","md":"Sonoff TH","sw":"14.3.0","ty":0})", true},
          {"stat/pump/POWER", "ON"}},
         {"pump/power=true"},
         {"pump: name Pump", "pump: model Sonoff TH", "pump: firmware 14.3.0"}},
        {"garbage is nobody's", {{"tele/bed1/SENSOR", R"({"BME280":)"}}, {}},
    };
    for (const Story& story : stories) tell(story);
}

TEST(Tasmota, ResultAndPowerOfOneSwitchCountOnce) {
    Garden garden;
    SourceOutput out;
    garden.sources.on_message("stat/pump/RESULT", R"({"POWER":"ON"})", false, {5000}, out);
    garden.sources.on_message("stat/pump/POWER", "ON", false, {5001}, out);
    EXPECT_EQ(readings_of(out), Lines{"pump/power=true"});
    out.clear();
    garden.sources.on_message("stat/pump/RESULT", R"({"POWER":"OFF"})", false, {5500}, out);
    garden.sources.on_message("stat/pump/POWER", "OFF", false, {5501}, out);
    EXPECT_EQ(readings_of(out), Lines{"pump/power=false"});
}

constexpr const char* z2m_devices = R"([
 {"type":"Coordinator","friendly_name":"Coordinator","ieee_address":"0x00"},
 {"type":"EndDevice","friendly_name":"bed/soil","ieee_address":"0xa4c138aa11","software_build_id":"1.2","definition":{"model":"TS0601_soil","exposes":[
   {"type":"numeric","property":"temperature","unit":"°F"},{"type":"numeric","property":"soil_moisture","unit":"%"},
   {"type":"numeric","property":"voltage","unit":"mV"},{"type":"binary","property":"valve","value_on":"OPEN","value_off":"CLOSE"}]}},
 {"type":"Router","friendly_name":"bed_soil","ieee_address":"0xa4c138bb22","definition":{"model":"X","exposes":[
   {"type":"switch","features":[{"type":"binary","property":"state","value_on":"ON","value_off":"OFF"}]}]}}])";

TEST(Zigbee2Mqtt, ReadsDevicesAndWhatTheBridgeKnowsOfThem) {
    const Story stories[] = {
        {"mixed types in one object",
         {{"zigbee2mqtt/plant",
           R"({"temperature":27.34,"humidity":44.72,"battery":88,"linkquality":51,"occupancy":false,"action":"single","last_seen":"2024-01-01","pressure":null})"}},
         {"plant/temperature=27.34 Cel", "plant/humidity=44.72 %", "plant/battery=88 %", "plant/linkquality=51 {lqi}",
          "plant/occupancy=false", "plant/action='single'"},
         {"plant: battery 88", "plant: link 20", "plant: seen"}},
        {"ON and OFF are booleans, an empty action is none",
         {{"zigbee2mqtt/valve", R"({"state":"ON","state_l2":"OFF","action":""})"}},
         {"valve/state=true", "valve/state_l2=false"}},
        {"a name with a slash", {{"zigbee2mqtt/bed/soil", R"({"soil_moisture":31})"}}, {"bed_soil/soil_moisture=31 %"}},
        {"two names of one label are told apart by the address",
         {{"zigbee2mqtt/bridge/devices", z2m_devices, true}, {"zigbee2mqtt/bed/soil", R"({"soil_moisture":31})"}},
         {"bed_soil_aa11/soil_moisture=31 %"},
         {"bed_soil_aa11: model TS0601_soil", "bed_soil_aa11: firmware 1.2", "bed_soil_aa11: name bed_soil"}},
        {"exposes give units and words",
         {{"zigbee2mqtt/bridge/devices", z2m_devices, true},
          {"zigbee2mqtt/bed/soil", R"({"temperature":70,"voltage":2900,"valve":"OPEN"})"}},
         {"bed_soil_aa11/temperature=70 [degF]", "bed_soil_aa11/voltage=2900 mV", "bed_soil_aa11/valve=true"},
         {"bed_soil_aa11: battery 2.9 V"}},
        {"availability as text", {{"zigbee2mqtt/plant/availability", "offline", true}}, {}, {"plant: away"}},
        {"availability as JSON", {{"zigbee2mqtt/plant/availability", R"({"state":"online"})"}}, {}, {"plant: available"}},
        {"availability of a name with slashes", {{"zigbee2mqtt/bed/1/availability", R"({"state":"online"})"}}, {}, {"bed_1: available"}},
        {"the bridge's state is not a device", {{"zigbee2mqtt/bridge/state", R"({"state":"online"})", true}}, {}},
        {"commands are for others", {{"zigbee2mqtt/valve/set", R"({"state":"ON"})"}}, {}},
        {"commands to one key as well", {{"zigbee2mqtt/valve/set/state", "ON"}}, {}},
        {"groups repeat their members",
         {{"zigbee2mqtt/bridge/groups", R"([{"id":1,"friendly_name":"lamps"}])", true}, {"zigbee2mqtt/lamps", R"({"state":"ON"})"}},
         {}},
        {"update tells the firmware and is no reading",
         {{"zigbee2mqtt/plug", R"({"power":3,"update":{"state":"idle","installed_version":587757105}})"}},
         {"plug/power=3"},
         {"plug: firmware 587757105"}},
        {"an old battery in quotes",
         {{"zigbee2mqtt/door", R"({"battery":"100.00","contact":true})"}},
         {"door/battery=100 %", "door/contact=true"},
         {"door: battery 100"}},
        {"the attribute output",
         {{"zigbee2mqtt/bridge/devices", z2m_devices, true}, {"zigbee2mqtt/bed/soil/temperature", "71.5"}},
         {"bed_soil_aa11/temperature=71.5 [degF]"}},
        {"bridge chatter", {{"zigbee2mqtt/bridge/logging", R"({"level":"info","message":"x"})"}}, {}},
        {"composite values", {{"zigbee2mqtt/lamp", R"({"color":{"x":0.4,"y":0.5}})"}}, {"lamp/color_x=0.4", "lamp/color_y=0.5"}},
        {"retained states are no readings", {{"zigbee2mqtt/plant", R"({"temperature":27.34,"battery":3})", true}}, {}},
    };
    for (const Story& story : stories) tell(story);
}

TEST(EspHome, ReadsStatesByTheirComponent) {
    const Story stories[] = {
        {"a sensor with fixed decimals", {{"bed1/sensor/soil_moisture/state", "31.50"}}, {"bed1/soil_moisture=31.5 %"}, {"bed1: seen"}},
        {"nan is no value", {{"bed1/sensor/temperature/state", "nan"}}, {}, {"bed1: seen"}},
        {"a retained state is old", {{"bed1/sensor/temperature/state", "20.1", true}}, {}},
        {"a binary sensor", {{"bed1/binary_sensor/rain/state", "ON"}}, {"bed1/rain=true"}},
        {"a switch", {{"bed1/switch/pump/state", "OFF"}}, {"bed1/pump=false"}},
        {"a number", {{"bed1/number/threshold/state", "+40"}}, {"bed1/threshold=40"}},
        {"a text sensor", {{"bed1/text_sensor/mode/state", "night"}}, {"bed1/mode='night'"}},
        {"a text that is a number stays a text", {{"bed1/text_sensor/code/state", "0012"}}, {"bed1/code='0012'"}},
        {"a valve that is opening is not closed", {{"bed1/valve/v1/state", "opening"}}, {"bed1/v1=true"}},
        {"a closed one", {{"bed1/valve/v1/state", "closed"}}, {"bed1/v1=false"}},
        {"its position", {{"bed1/valve/v1/position/state", "35"}}, {"bed1/v1_position=35 %"}},
        {"signal is a note too", {{"bed1/sensor/wifi_signal/state", "-71"}}, {"bed1/wifi_signal=-71"}, {"bed1: rssi -71"}},
        {"status, retained", {{"bed1/status", "offline", true}}, {}, {"bed1: away"}},
        {"status, live", {{"bed1/status", "online"}}, {}, {"bed1: available", "bed1: seen"}},
        {"Home Assistant's own status is no device", {{"homeassistant/status", "online"}}, {}},
        {"words that look like numbers are none", {{"bed1/sensor/x/state", "0x1F"}}, {}},
        {"infinity is no value", {{"bed1/sensor/x/state", "inf"}}, {}},
        {"nor is a number with a unit", {{"bed1/sensor/x/state", "21.5 °C"}}, {}},
        {"nor one with a decimal comma", {{"bed1/sensor/x/state", "21,5"}}, {}},
    };
    for (const Story& story : stories) tell(story);
}

constexpr const char* homie_description = R"({"homie":"5.0","version":7,"name":"Greenhouse","nodes":{
  "soil":{"properties":{"moisture":{"datatype":"float","unit":"%"},"dry":{"datatype":"boolean"},"mode":{"datatype":"enum","format":"auto,off"}}},
  "temperature":{"properties":{"temperature":{"datatype":"float","unit":"°C"}}},
  "power":{"properties":{"battery":{"datatype":"integer","unit":"%"}}}}})";

TEST(Homie, ReadsPropertiesByTheirDescription) {
    const Published description{"homie/5/gh1/$description", homie_description, true};
    const Story stories[] = {
        {"a float with its unit",
         {description, {"homie/5/gh1/soil/moisture", "31.5"}},
         {"gh1/soil_moisture=31.5 %"},
         {"gh1: seen", "gh1: name Greenhouse"}},
        {"node and property of one name", {description, {"homie/5/gh1/temperature/temperature", "20"}}, {"gh1/temperature=20 Cel"}},
        {"a boolean", {description, {"homie/5/gh1/soil/dry", "true"}}, {"gh1/soil_dry=true"}},
        {"a boolean is exactly true or false", {description, {"homie/5/gh1/soil/dry", "ON"}}, {}},
        {"an enum is a text, whatever it looks like", {description, {"homie/5/gh1/soil/mode", "off"}}, {"gh1/soil_mode='off'"}},
        {"a battery is a note", {description, {"homie/5/gh1/power/battery", "15"}}, {"gh1/power_battery=15 %"}, {"gh1: battery 15"}},
        {"without a description, by its looks", {{"homie/5/gh2/soil/moisture", "31.5"}}, {"gh2/soil_moisture=31.5"}},
        {"an empty text is no value", {{"homie/5/gh2/soil/note", std::string(1, '\0')}}, {}},
        {"$target is not the value", {{"homie/5/gh1/soil/moisture/$target", "40"}}, {}},
        {"/set is for the device", {{"homie/5/gh1/soil/moisture/set", "40"}}, {}},
        {"ready", {{"homie/5/gh1/$state", "ready", true}}, {}, {"gh1: available"}},
        {"lost is not seen", {{"homie/5/gh1/$state", "lost"}}, {}, {"gh1: away"}},
        {"sleeping is not away", {{"homie/5/gh1/$state", "sleeping"}}, {}, {"gh1: sleeping", "gh1: seen"}},
        {"a child goes with its root",
         {{"homie/5/kid/$description", R"({"homie":"5.0","root":"gh1","parent":"gh1","nodes":{}})", true},
          {"homie/5/kid/$state", "ready", true},
          {"homie/5/gh1/$state", "lost"}},
         {},
         {"gh1: away", "kid: away"}},
        {"a value, retained, is old", {description, {"homie/5/gh1/soil/moisture", "31.5", true}}, {}},
        {"alerts are not readings", {{"homie/5/gh1/$alert/battery", "low"}}, {}},
    };
    for (const Story& story : stories) tell(story);
    Garden garden;
    const auto out = garden.hear("homie/5/gh1/$state", "lost");
    EXPECT_EQ(notes_of(out), (Lines{"gh1: away", "gh1: awake"}));
}

TEST(SenMl, ResolvesPacks) {
    const Story stories[] = {
        {"base name and base unit",
         {{"senml/x", R"([{"bn":"urn:dev:mac:0024befffe804ff1:","bu":"Cel","n":"air","v":21.5},{"n":"soil","v":17}])"}},
         {"mac:0024befffe804ff1/air=21.5 Cel", "mac:0024befffe804ff1/soil=17 Cel"}},
        {"base value, own unit", {{"bed1/senml", R"([{"bv":20,"n":"t","u":"Cel","v":1.5}])"}}, {"bed1/t=21.5 Cel"}},
        {"boolean and text",
         {{"senml/bed1", R"([{"n":"open","vb":true},{"n":"mode","vs":"auto"},{"n":"blob","vd":"aGk"}])"}},
         {"bed1/open=true", "bed1/mode='auto'"}},
        {"a name that holds the device",
         {{"senml/x", R"([{"n":"urn:dev:ow:10e2073a01080063:voltage","u":"V","v":3.1}])"}},
         {"ow:10e2073a01080063/voltage=3.1 V"}},
        {"humidity in %RH", {{"bed1/senml", R"([{"n":"h","u":"%RH","v":60}])"}}, {"bed1/h=60 %"}},
        {"a field that must be understood", {{"bed1/senml", R"([{"n":"h","v":60,"x_":1}])"}}, {}},
        {"a version from the future", {{"bed1/senml", R"([{"bver":11,"n":"h","v":60}])"}}, {}},
        {"not a pack", {{"bed1/senml", R"({"n":"h","v":60})"}}, {}},
        {"a sum", {{"bed1/senml", R"([{"n":"water","u":"L","s":12}])"}}, {"bed1/water_sum=12 L"}},
    };
    for (const Story& story : stories) tell(story);
}

TEST(SenMl, TimesBelowTwoToThe28AreRelativeAndOthersKeepTheirDistance) {
    Garden garden;
    auto out = garden.hear("bed1/senml", R"([{"bn":"d:","n":"t","t":-30,"v":1},{"n":"t","v":2},{"n":"t","t":60,"v":3}])");
    ASSERT_EQ(out.samples.size(), 2U);
    EXPECT_EQ(out.samples[0].time, garden.now - seconds(30));
    EXPECT_EQ(out.samples[1].time, garden.now);
    out = garden.hear("bed1/senml", R"([{"bn":"d:","bt":1700000000,"n":"t","v":1},{"n":"t","t":-5,"v":2}])");
    ASSERT_EQ(out.samples.size(), 2U);
    EXPECT_EQ(out.samples[0].time, garden.now - seconds(5));
    EXPECT_EQ(out.samples[1].time, garden.now);
    out = garden.hear("bed1/senml", R"([{"bn":"d:","n":"t","t":-268000000,"v":1}])");
    ASSERT_EQ(out.samples.size(), 1U);
    EXPECT_EQ(out.samples[0].time, MonoTime{0});  // never before this boot
}

SourcesOptions with_rule(Rule rule) {
    SourcesOptions options;
    options.rules = {std::move(rule)};
    return options;
}
Rule rule(std::string topic, std::string device, std::string quantity, std::string path = "", std::string unit = "", double scale = 1,
          double offset = 0) {
    return {std::move(topic), std::move(device), std::move(quantity), std::move(path), std::move(unit), scale, offset};
}

TEST(Rules, ReadOwnTopics) {
    const Story stories[] = {
        {"captures, a path with an index, scale and offset",
         {{"garden/bed1/raw", R"({"s":[{"t":215}]})"}},
         {"bed1/temp=20.5 Cel"},
         {},
         with_rule(rule("garden/+/raw", "{1}", "temp", "s.0.t", "°C", 0.1, -1))},
        {"plain text", {{"w/level/north", "1.5"}}, {"north/level=1.5 m"}, {}, with_rule(rule("w/+/+", "{2}", "{1}", "", "m"))},
        {"plain text without a quantity is called after the topic",
         {{"w/level", "1.5"}},
         {"tank/level=1.5"},
         {},
         with_rule(rule("w/+", "tank", ""))},
        {"everything below a path",
         {{"w/x", R"({"id":7,"d":{"Temp":21,"ok":true,"mode":"auto","deep":{"pH":6.5},"none":null,"list":[1,2]}})"}},
         {"tank/temp=21", "tank/ok=true", "tank/mode='auto'", "tank/deep_ph=6.5", "tank/list_0=1", "tank/list_1=2"},
         {},
         with_rule(rule("w/x", "tank", "", "d"))},
        {"a number in quotes", {{"w/x", R"({"t":"21.5"})"}}, {"tank/t=21.5"}, {}, with_rule(rule("w/x", "tank", "t", "t"))},
        {"the rest of a topic", {{"w/a/b", "3"}}, {"a_b/v=3"}, {}, with_rule(rule("w/#", "{1}", "v"))},
        {"a path that is not there", {{"w/x", R"({"a":1})"}}, {}, {}, with_rule(rule("w/x", "tank", "t", "b.c"))},
        {"a rule overrides a dialect",
         {{"tele/bed1/SENSOR", R"({"ANALOG":{"A0":512}})"}},
         {"bed1/soil=50 %"},
         {},
         with_rule(rule("tele/+/SENSOR", "{1}", "soil", "ANALOG.A0", "%", 0.09765625))},
        {"one whose path misses leaves the message to the dialect",
         {{"tele/bed1/SENSOR", R"({"ANALOG":{"A0":512}})"}},
         {"bed1/analog_a0=512"},
         {},
         with_rule(rule("tele/+/SENSOR", "{1}", "soil", "ANALOG.A1"))},
        {"a word that is no value", {{"w/x", "unavailable"}}, {}, {}, with_rule(rule("w/x", "tank", "t"))},
    };
    for (const Story& story : stories) tell(story);
}

TEST(Rules, SeveralReadOnePayloadIntoOneSample) {
    SourcesOptions options;
    options.rules = {rule("w/+", "{1}", "a", "a"), rule("w/+", "{1}", "b", "b")};
    Garden garden(options);
    const auto out = garden.hear("w/tank", R"({"a":1,"b":2})");
    ASSERT_EQ(out.samples.size(), 1U);
    EXPECT_EQ(readings_of(out), (Lines{"tank/a=1", "tank/b=2"}));
}

}  // namespace
}  // namespace basmalin::agent
