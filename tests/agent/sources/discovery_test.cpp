// Home Assistant discovery: what configs describe, and that it is read once.
#include "agent/sources/ha_template.h"
#include "tests/agent/sources/vocabulary.h"

namespace basmalin::agent {
namespace {

using Lines = std::vector<std::string>;

const Published moisture{
    "homeassistant/sensor/site1_bed1_moist/config",
    R"({"name":"Bed 1 moisture","uniq_id":"site1_bed1_moist","stat_t":"~/bed1/moist","~":"garden/site1","unit_of_meas":"%",
                             "dev_cla":"moisture","stat_cla":"measurement","exp_aft":900,"avty_t":"garden/site1/status",
                             "dev":{"ids":["site1"],"name":"Site 1","mdl":"ESP32","sw":"1.4"},"o":{"name":"us"}})",
    true};

Published config(std::string component, std::string object, std::string body) {
    return {"homeassistant/" + component + "/d1/" + object + "/config", R"({"dev":{"ids":["d1"]},"stat_t":"g/x",)" + body + "}", true};
}

TEST(Discovery, ReadsWhatConfigsDescribe) {
    const Story stories[] = {
        {"abbreviated keys, the base topic, a name made whole by the class",
         {moisture, {"garden/site1/bed1/moist", "31"}},
         {"site1/bed1_moisture=31 %"},
         {"site1: seen", "site1: model ESP32", "site1: firmware 1.4", "site1: name Site 1"}},
        {"full keys, base at the end, node id",
         {{"homeassistant/sensor/node7/temp/config",
           R"({"~":"/t","state_topic":"g~","unit_of_measurement":"°C","device_class":"temperature","device":{"identifiers":"node7"}})",
           true},
          {"g/t", "20.5"}},
         {"node7/temperature=20.5 Cel"}},
        {"the node id before the object id is not repeated, the device's name is left alone",
         {{"homeassistant/sensor/pot_7/pot_7_soil_temp/config",
           R"({"stat_t":"g/t","dev_cla":"temperature","dev":{"ids":["a4cf12"],"name":"Soil"}})", true},
          {"g/t", "20.5"}},
         {"a4cf12/soil_temperature=20.5"}},
        {"a template into JSON",
         {config("sensor", "hum", R"("unit_of_meas":"%","val_tpl":"{{ value_json.a['b c'].d[1] | float | round(1) }}")"),
          {"g/x", R"({"a":{"b c":{"d":[0,44.26]}}})"}},
         {"d1/hum=44.3 %"}},
        {"a part that the payload does not say is nothing",
         {config("sensor", "hum", R"("val_tpl":"{{ value_json.h }}")"), {"g/x", R"({"t":1})"}},
         {}},
        {"a default is what the description wants",
         {config("sensor", "hum", R"("val_tpl":"{{ value_json.h | default('none yet') }}")"), {"g/x", R"({"t":1})"}},
         {"d1/hum='none yet'"}},
        {"a sensor with a unit is a number", {config("sensor", "t", R"("unit_of_meas":"°C")"), {"g/x", "unavailable"}}, {}},
        {"one without may be a text", {config("sensor", "mode", R"("ic":"mdi:eye")"), {"g/x", "night"}}, {"d1/mode='night'"}},
        {"or a number", {config("sensor", "count", R"("ic":"mdi:eye")"), {"g/x", "7"}}, {"d1/count=7"}},
        {"an enum is a text", {config("sensor", "step", R"("dev_cla":"enum")"), {"g/x", "7"}}, {"d1/step='7'"}},
        {"a binary sensor", {config("binary_sensor", "rain", R"("pl_on":"wet","pl_off":"dry")"), {"g/x", "wet"}}, {"d1/rain=true"}},
        {"JSON booleans as payloads",
         {config("binary_sensor", "rain", R"("pl_on":true,"pl_off":false,"val_tpl":"{{ value_json.rain }}")"),
          {"g/x", R"({"rain":false})"}},
         {"d1/rain=false"}},
        {"a third word is no value", {config("binary_sensor", "rain", R"("pl_on":"wet","pl_off":"dry")"), {"g/x", "damp"}}, {}},
        {"a switch by its states",
         {config("switch", "pump", R"("pl_on":"START","stat_on":"RUN","stat_off":"STOP")"), {"g/x", "RUN"}},
         {"d1/pump=true"}},
        {"a switch by its payloads", {config("switch", "pump", R"("pl_on":"1","pl_off":"0")"), {"g/x", "0"}}, {"d1/pump=false"}},
        {"a number", {config("number", "limit", R"("unit_of_meas":"%","min":0)"), {"g/x", "40"}}, {"d1/limit=40 %"}},
        {"a select", {config("select", "program", R"("ops":["a","b"])"), {"g/x", "b"}}, {"d1/program='b'"}},
        {"a text", {config("text", "memo", R"("max":20)"), {"g/x", "17"}}, {"d1/memo='17'"}},
        {"a valve's words",
         {config("valve", "v", R"("stat_open":"OPEN","stat_clsd":"SHUT","name":"Valve")"), {"g/x", "SHUT"}},
         {"d1/valve=false"}},
        {"a valve's position", {config("valve", "water", R"("pos":true)"), {"g/x", "35"}}, {"d1/water=true", "d1/water_position=35 %"}},
        {"a valve's JSON",
         {config("valve", "water", R"("pos":true)"), {"g/x", R"({"state":"opening","position":10})"}},
         {"d1/water=true", "d1/water_position=10 %"}},
        {"a cover", {config("cover", "roof", R"("pos_t":"g/p","pos_open":0,"pos_clsd":200)"), {"g/p", "50"}}, {"d1/roof_position=75 %"}},
        {"a cover's state", {config("cover", "roof", R"("pos_t":"g/p")"), {"g/x", "closing"}}, {"d1/roof=true"}},
        {"a fan", {config("fan", "vent", R"("pct_stat_t":"g/pct")"), {"g/pct", "60"}}, {"d1/vent_percentage=60 %"}},
        {"a light in JSON",
         {config("light", "lamp", R"("schema":"json")"), {"g/x", R"({"state":"ON","brightness":10})"}},
         {"d1/lamp=true"}},
        {"a climate", {config("climate", "gh", R"("curr_temp_t":"g/t","temp_unit":"F")"), {"g/t", "70"}}, {"d1/gh_temperature=70 [degF]"}},
        {"a battery is a note too",
         {config("sensor", "battery", R"("dev_cla":"battery","unit_of_meas":"%")"), {"g/x", "87"}},
         {"d1/battery=87 %"},
         {"d1: battery 87"}},
        {"signal too",
         {config("sensor", "rssi", R"("dev_cla":"signal_strength","unit_of_meas":"dBm")"), {"g/x", "-80"}},
         {"d1/rssi=-80 dBm"},
         {"d1: rssi -80"}},
        {"an address for an id gives way to the class",
         {{"homeassistant/sensor/0x00158d0001/0x00158d0002/config", R"({"stat_t":"g/x","dev_cla":"illuminance","dev":{"ids":["z1"]}})",
           true},
          {"g/x", "300"}},
         {"z1/illuminance=300"}},
        {"no device: the node's id",
         {{"homeassistant/sensor/node9/t/config", R"({"stat_t":"g/x","name":"Air temperature","dev_cla":"temperature"})", true},
          {"g/x", "3"}},
         {"node9/air_temperature=3"}},
        {"a connection for an identifier",
         {{"homeassistant/sensor/a/level/config", R"({"stat_t":"g/x","dev":{"cns":[["mac","aa:bb"]]}})", true}, {"g/x", "3"}},
         {"aa:bb/level=3"}},
        {"an empty config removes", {moisture, {moisture.topic, "", true}, {"garden/site1/bed1/moist", "31"}}, {}},
        {"a retained state is old", {moisture, {"garden/site1/bed1/moist", "31", true}}, {}},
        {"availability, retained", {moisture, {"garden/site1/status", "offline", true}}, {}, {"site1: away"}},
        {"availability, live, of one device", {moisture, {"garden/site1/status", "online"}}, {}, {"site1: available", "site1: seen"}},
        {"wildcards are no state topic", {config("sensor", "t", R"("state_topic":"g/+")"), {"g/x", "1"}}, {}},
        {"a whole JSON payload is no state", {config("sensor", "mode", R"("ic":"x")"), {"g/x", R"({"a":1})"}}, {}},
        {"event, button, update are no readings", {config("event", "press", R"("name":"x")"), {"g/x", "1"}}, {}},
    };
    for (const Story& story : stories) tell(story);
}

const Published whole_device{"homeassistant/device/soil42/config",
                             R"({"dev":{"ids":["soil42"],"name":"Soil 42","mdl":"S1","sw":"2.0"},"o":{"name":"fw","sw":"2.0"},"~":"soil/42",
    "state_topic":"~/state","avty":[{"t":"~/avail","val_tpl":"{{ value_json.state }}"},{"t":"bridge/state"}],"avty_mode":"all",
    "cmps":{"soil42_temp":{"p":"sensor","dev_cla":"temperature","unit_of_meas":"°C","val_tpl":"{{ value_json.temperature }}"},
            "moist":{"p":"sensor","dev_cla":"moisture","unit_of_meas":"%","val_tpl":"{{value_json['moisture']}}"},
            "pump":{"p":"switch","stat_t":"~/pump"},"gone":{"p":"sensor"},"reset":{"p":"button"}}})",
                             true};

TEST(Discovery, ADeviceDescribesAllItsComponentsInOneMessage) {
    Garden garden;
    garden.hear(whole_device);
    const auto out = garden.hear("soil/42/state", R"({"temperature":19.5,"moisture":33})");
    EXPECT_EQ(readings_of(out), (Lines{"soil42/temperature=19.5 Cel", "soil42/moisture=33 %"}));
    EXPECT_EQ(out.samples.size(), 1U);
    EXPECT_EQ(garden.read("soil/42/pump", "ON"), Lines{"soil42/pump=true"});
    EXPECT_EQ(garden.subscribed, (Lines{"soil/42/avail", "bridge/state", "soil/42/state", "soil/42/pump"}));
}

TEST(Discovery, AvailabilityFollowsItsMode) {
    Garden garden;
    garden.hear(whole_device);
    EXPECT_EQ(notes_of(garden.hear("soil/42/avail", R"({"state":"online"})", true)), Lines{});  // all: the bridge has not spoken
    EXPECT_EQ(notes_of(garden.hear("bridge/state", "online", true)).back(), "soil42: available");
    EXPECT_EQ(notes_of(garden.hear("bridge/state", "offline")), (Lines{"soil42: away"}));
    EXPECT_EQ(notes_of(garden.hear("soil/42/avail", R"({"state":"online"})")), (Lines{"soil42: seen", "soil42: away"}));
    EXPECT_EQ(notes_of(garden.hear("bridge/state", "online")).back(), "soil42: available");
}

TEST(Discovery, SubscribesOnceAndOnlyToWhatIsNotHeardAnyway) {
    Garden garden;
    garden.hear(moisture);
    EXPECT_EQ(garden.subscribed, (Lines{"garden/site1/status", "garden/site1/bed1/moist"}));
    garden.hear(moisture);
    Published again = moisture;
    again.payload.insert(1, R"("ic":"mdi:water",)");
    garden.hear(again);
    garden.hear("homeassistant/sensor/z/temp/config",
                R"({"stat_t":"zigbee2mqtt/plant","val_tpl":"{{ value_json.temperature }}","dev":{"ids":["z"]}})", true);
    EXPECT_EQ(garden.subscribed.size(), 2U);
    EXPECT_EQ(garden.read("garden/site1/bed1/moist", "31"), Lines{"site1/bed1_moisture=31 %"});
}

TEST(Discovery, WhatItDescribesIsNotReadTwice) {  // R6
    Garden garden;
    const std::string payload = R"({"temperature":20,"humidity":50,"linkquality":90})";
    EXPECT_EQ(garden.read("zigbee2mqtt/plant", payload).size(), 3U);
    garden.hear(
        "homeassistant/sensor/0x1/temperature/config",
        R"({"stat_t":"zigbee2mqtt/plant","val_tpl":"{{ value_json.temperature }}","unit_of_meas":"°C","dev":{"ids":["zigbee2mqtt_0x1"]}})",
        true);
    EXPECT_EQ(garden.read("zigbee2mqtt/plant", payload), Lines{"zigbee2mqtt_0x1/temperature=20 Cel"});
    garden.hear("homeassistant/sensor/t/uptime/config",
                R"({"stat_t":"tele/bed1/SENSOR","val_tpl":"{{ value_json.ANALOG.A0 }}","name":"Soil","dev":{"ids":["esp1"]}})", true);
    EXPECT_EQ(garden.read("tele/bed1/SENSOR", R"({"ANALOG":{"A0":512}})"), Lines{"esp1/uptime=512"});
    garden.hear("homeassistant/sensor/e/soil/config", R"({"stat_t":"bed2/sensor/soil/state","dev":{"ids":["esp2"]}})", true);
    EXPECT_EQ(garden.read("bed2/sensor/soil/state", "5"), Lines{"esp2/soil=5"});
}

TEST(Discovery, ADescribedDeviceKeepsItsNameInEveryDialect) {  // R9
    Garden garden;
    garden.hear("homeassistant/sensor/bed2/soil/config", R"({"stat_t":"bed2/sensor/soil/state","dev":{"ids":["a4cf12"]}})", true);
    EXPECT_EQ(garden.read("bed2/sensor/hidden/state", "5"), Lines{"a4cf12/hidden=5"});
    garden.hear("homeassistant/sensor/t/a0/config",
                R"({"stat_t":"tele/pump/SENSOR","val_tpl":"{{ value_json.ANALOG.A0 }}","dev":{"ids":["9229FE"]}})", true);
    EXPECT_EQ(garden.read("stat/pump/POWER", "ON"), Lines{"9229FE/power=true"});
}

TEST(Discovery, ATemplateThatIsNotUnderstoodIsToldOnceAndLeavesTheTopicToTheDialect) {
    Garden garden;
    const Published odd{"homeassistant/sensor/x/t/config",
                        R"({"stat_t":"bed3/sensor/t/state","val_tpl":"{{ value | float * 10 }}","dev":{"ids":["x"]}})", true};
    garden.hear(odd);
    garden.hear(odd);
    ASSERT_EQ(garden.events.size(), 1U);
    EXPECT_NE(garden.events[0].find("template not understood"), std::string::npos);
    EXPECT_EQ(garden.read("bed3/sensor/t/state", "5"), Lines{"bed3/t=5"});
}

TEST(Discovery, TwoEntitiesOfOneNameStayApart) {
    Garden garden;
    garden.hear(config("sensor", "target", R"("ic":"x")"));
    Published second = config("number", "target", R"("ic":"x")");
    garden.hear(second);
    EXPECT_EQ(garden.read("g/x", "5"), (Lines{"d1/target=5", "d1/target_number=5"}));
}

TEST(Discovery, NamesDoNotDependOnTheOrderOfConfigs) {  // ha_names.h R1-R3
    const auto door = [](const std::string& component, const std::string& object, const std::string& topic) {
        return Published{"homeassistant/" + component + "/d1/" + object + "/config",
                         R"({"dev":{"ids":["d1"]},"stat_t":")" + topic + R"("})", true};
    };
    std::vector<Published> configs = {door("sensor", "door", "g/a"), door("binary_sensor", "door", "g/b"), door("sensor", "Door", "g/c"),
                                      door("switch", "door_binary_sensor", "g/d"), door("lock", "door", "g/e")};
    std::vector<size_t> order = {0, 1, 2, 3, 4};
    do {
        Garden garden;
        for (const size_t i : order) garden.hear(configs[i]);
        Lines names;
        for (const char* topic : {"g/a", "g/b", "g/c", "g/d", "g/e"})
            for (const std::string& line : garden.read(topic, "ON")) names.push_back(line);
        ASSERT_EQ(names,
                  (Lines{"d1/door_sensor='ON'", "d1/door_2=true", "d1/door='ON'", "d1/door_binary_sensor=true", "d1/door_lock='ON'"}))
            << ::testing::PrintToString(order);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Discovery, AnEntityThatGoesLeavesItsNameToTheNext) {
    Garden garden;
    garden.hear(config("sensor", "target", R"("ic":"x")"));
    garden.hear(config("number", "target", R"("ic":"x")"));
    garden.hear("homeassistant/sensor/d1/target/config", "", true);
    EXPECT_EQ(garden.read("g/x", "5"), Lines{"d1/target=5"});
}

TEST(Discovery, AConfigThatCannotBeReadIsToldAndTheRestGoesOn) {
    Garden garden;
    garden.hear("homeassistant/sensor/x/t/config", "{broken", true);
    garden.hear("homeassistant/sensor/x/t/config", "{broken", true);
    ASSERT_EQ(garden.events.size(), 1U);
    garden.hear("homeassistant/sensor/x/big/config", std::string(70'000, ' ') + "{}", true);
    EXPECT_EQ(garden.events.size(), 2U);
    garden.hear(moisture);
    EXPECT_EQ(garden.read("garden/site1/bed1/moist", "31").size(), 1U);
}

TEST(Discovery, MoreEntitiesThanADeviceMayHaveAreRefused) {  // R5
    SourcesOptions options;
    options.series_per_device_max = 3;
    options.devices_max = 2;
    Garden garden(options);
    for (int i = 0; i < 10; ++i)
        garden.hear("homeassistant/sensor/d/q" + std::to_string(i) + "x/config",
                    R"({"stat_t":"g/)" + std::to_string(i) + R"(","dev":{"ids":["d"]}})", true);
    EXPECT_EQ(garden.subscribed.size(), 3U);
    EXPECT_EQ(garden.events.size(), 1U);
    for (const char* id : {"e", "f", "h"})
        garden.hear(std::string("homeassistant/sensor/") + id + "/t/config",
                    std::string(R"({"stat_t":"h/)") + id + R"(","dev":{"ids":[")" + id + "\"]}}", true);
    EXPECT_EQ(garden.subscribed.size(), 4U);
    EXPECT_EQ(garden.events.size(), 2U);
}

std::string rendered(std::string_view text, std::string_view payload) {
    auto compiled = Template::compile(text);
    if (!compiled) return "refused";
    std::optional<Json> json;
    if (auto read = parse_json(payload); read && (read->is_object() || read->is_array())) json = std::move(*read);
    const auto value = compiled->render(payload, json ? &*json : nullptr);
    return value ? value->dump() : "nothing";
}

TEST(Template, RendersItsSubsetAndRefusesTheRest) {
    const struct {
        const char* text;
        const char* payload;
        const char* wanted;
    } cases[] = {
        {"", "21.5", "\"21.5\""},
        {"{{ value }}", "21.5", "\"21.5\""},
        {"{{value|float}}", "21.5", "21.5"},
        {"{{ value | float | round(0) }}", "2.5", "2"},
        {"{{ value | int }}", "-2.7", "-2"},
        {"{{ value | float(0) }}", "", "\"nan\""},
        {"{{ value_json }}", "42", "42"},
        {"{{- value_json.a -}}", R"({"a":"x"})", "\"x\""},
        {"{{ value_json['PMS5003']['CF2.5'] }}", R"({"PMS5003":{"CF2.5":3}})", "3"},
        {"{{ value_json[\"a\"].b[0] }}", R"({"a":{"b":[7]}})", "7"},
        {"{{ value_json[1] }}", "[1,2]", "2"},
        {"{{ value_json.a.b }}", R"({"a":5})", "nothing"},
        {"{{ value_json.a[9] }}", R"({"a":[1]})", "nothing"},
        {"{{ value_json.a }}", R"({"a":{}})", "nothing"},
        {"{{ value_json.a | is_defined }}", R"({"b":1})", "nothing"},
        {"{{ value_json.a | default(3) }}", R"({"b":1})", "3"},
        {"{{ value_json.a | default('x') }}", R"({"a":1})", "1"},
        {"{{ value_json.a }}", "not json", "nothing"},
        {"{{ value_json.a * 10 }}", "{}", "refused"},
        {"{{ value_json.a | multiply(2) }}", "{}", "refused"},
        {"{{ 'ON' if value_json.a else 'OFF' }}", "{}", "refused"},
        {"{% if value %}1{% endif %}", "{}", "refused"},
        {"{{ value }} {{ value }}", "{}", "refused"},
        {"{{ value.split(',') }}", "{}", "refused"},
        {"{{ value_json.a.split(',')[0] }}", "{}", "refused"},
        {"{{ states('x') }}", "{}", "refused"},
        {"{{ value_json. }}", "{}", "refused"},
        {"{{ value_json['a }}", "{}", "refused"},
        {"{{ value_json[-1] }}", "[1]", "refused"},
        {"{{ value_json.a | round('x') }}", "{}", "refused"},
        {"{{", "{}", "refused"},
    };
    for (const auto& c : cases) EXPECT_EQ(rendered(c.text, c.payload), c.wanted) << c.text << " of " << c.payload;
}

}  // namespace
}  // namespace basmalin::agent
