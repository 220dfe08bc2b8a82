// What holds whatever the dialects say (rules of sources.h and sources.cpp), and the small parts they share.
#include <cmath>
#include <random>
#include <set>

#include "agent/sources/names.h"
#include "agent/sources/readings.h"
#include "agent/sources/topic_filter.h"
#include "agent/sources/units.h"
#include "shared/base/ids.h"
#include "shared/series/codec.h"
#include "tests/agent/sources/vocabulary.h"

namespace basmalin::agent {
namespace {

using Lines = std::vector<std::string>;

TEST(Sources, ARetainedMessageIsNeverAReading) {  // R1
    Garden garden;
    for (const auto& [topic, payload] : std::vector<std::pair<std::string, std::string>>{{"bed1/sensor/t/state", "5"},
                                                                                         {"zigbee2mqtt/p", R"({"battery":5})"},
                                                                                         {"tele/t/SENSOR", R"({"A":{"B":1}})"},
                                                                                         {"stat/t/POWER", "ON"},
                                                                                         {"homie/5/d/n/p", "5"},
                                                                                         {"bed1/senml", R"([{"n":"t","v":1}])"}}) {
        const auto out = garden.hear(topic, payload, true);
        EXPECT_TRUE(out.samples.empty()) << topic;
        for (const DeviceNote& note : out.notes) EXPECT_FALSE(note.seen || note.battery_percent) << topic;
    }
    EXPECT_EQ(garden.sources.counts().retained, 6U);
    EXPECT_EQ(garden.sources.counts().readings, 0U);
    EXPECT_EQ(garden.sources.counts().unknown, 0U);
}

TEST(Sources, AQuantityKeepsTheUnitItBeganWith) {  // R2, R8
    Garden garden;
    EXPECT_EQ(garden.read("tele/b/SENSOR", R"({"X":{"Temperature":20},"TempUnit":"C"})"), Lines{"b/x_temperature=20 Cel"});
    EXPECT_EQ(garden.read("tele/b/SENSOR", R"({"X":{"Temperature":68},"TempUnit":"F"})"), Lines{"b/x_temperature=20 Cel"});
    EXPECT_EQ(garden.sources.counts().series, 1U);
}

TEST(Sources, AUnitOfAnotherKindIsASeriesOfItsOwnAndCounts) {
    SourcesOptions options;
    options.series_per_device_max = 2;
    Garden garden(options);
    EXPECT_EQ(garden.read("d/senml", R"([{"n":"x","u":"V","v":1}])"), Lines{"d/x=1 V"});
    EXPECT_EQ(garden.read("d/senml", R"([{"n":"x","u":"lx","v":1}])"), Lines{"d/x=1 lx"});
    EXPECT_EQ(garden.read("d/senml", R"([{"n":"x","u":"kg","v":1}])"), Lines{});
    EXPECT_EQ(garden.read("d/senml", R"([{"n":"x","u":"lx","v":2}])"), Lines{"d/x=2 lx"});
    EXPECT_EQ(garden.sources.counts().refused_by_budget, 1U);
}

TEST(Sources, WhatIsNoValueIsCounted) {  // R3
    Garden garden;
    for (const char* word : {"nan", "NaN", "unavailable", "unknown", "None", " ", "1e999", "--1", "+-1", "12abc"})
        garden.hear("b/sensor/t/state", word);
    EXPECT_EQ(garden.sources.counts().not_a_value, 10U);
    EXPECT_EQ(garden.sources.counts().readings, 0U);
}

TEST(Sources, WhatNobodyUnderstandsIsCountedAndNeverFatal) {  // R4
    Garden garden;
    garden.hear("some/other/topic", "x");
    garden.hear("zigbee2mqtt/p", "\xff\xfe garbage");
    garden.hear("", "");
    garden.hear(std::string(5000, 'a'), "1");
    garden.hear(std::string(200, '/'), "1");
    EXPECT_EQ(garden.sources.counts().unknown, 5U);
    EXPECT_TRUE(garden.events.empty());
}

TEST(Sources, ADeviceOfAThousandSeriesMeetsItsBudgetAndIsToldOnce) {  // R5
    Garden garden;
    for (int i = 0; i < 1000; ++i) garden.hear("b/sensor/q" + std::to_string(i) + "/state", "1");
    EXPECT_EQ(garden.sources.counts().series, 200U);
    EXPECT_EQ(garden.sources.counts().readings, 200U);
    EXPECT_EQ(garden.sources.counts().refused_by_budget, 800U);
    EXPECT_EQ(garden.events.size(), 1U);
    EXPECT_EQ(garden.read("b/sensor/q7/state", "2"), Lines{"b/q7=2"});  // the known ones go on
    EXPECT_EQ(garden.read("c/sensor/q7/state", "2"), Lines{"c/q7=2"});  // and other devices
}

TEST(Sources, DevicesBeyondTheBudgetAreToldAtMostOnceAnHour) {  // R5
    SourcesOptions options;
    options.devices_max = 3;
    Garden garden(options);
    for (int i = 0; i < 100; ++i) garden.hear("d" + std::to_string(i) + "/sensor/t/state", "1");  // 1000 s
    EXPECT_EQ(garden.sources.counts().devices, 3U);
    EXPECT_EQ(garden.sources.counts().readings, 3U);
    EXPECT_EQ(garden.events.size(), 1U);
    garden.now = garden.now + hours(1);
    garden.hear("d99/sensor/t/state", "1");
    EXPECT_EQ(garden.events.size(), 2U);
    garden.hear("d98/status", "online", true);  // notes are within the budget as well
    EXPECT_EQ(garden.sources.counts().devices, 3U);
}

TEST(Sources, ADeliveryPerMatchingFilterIsReadOnce) {  // R10
    SourcesOptions options;
    options.rules = {{"+/sensor/x/#", "{1}", "q", "", "", 1, 0}};
    Garden garden(options);
    SourceOutput out;
    for (int i = 0; i < 4; ++i) garden.sources.on_message("d/sensor/x/state", "1", false, {1000}, out);
    EXPECT_EQ(out.samples.size(), 2U);  // two filters match: the first and third were new
    out.clear();
    for (int i = 0; i < 4; ++i) garden.sources.on_message("d/sensor/y/state", "1", false, {1000}, out);
    EXPECT_EQ(out.samples.size(), 4U);  // one filter: the device did say it four times
}

TEST(Sources, DescriptionsWaitUntilTheDeviceSpeaks) {  // R11
    Garden garden;
    EXPECT_TRUE(garden.hear("tasmota/discovery/A/config", R"({"t":"pump","md":"TH"})", true).notes.empty());
    EXPECT_EQ(garden.sources.counts().devices, 0U);
    EXPECT_EQ(notes_of(garden.hear("tele/pump/LWT", "Online", true)), (Lines{"pump: model TH", "pump: available"}));
}

TEST(Sources, AnAlarmIsTheMomentItBecomesTrue) {  // R12
    Garden garden;
    const auto alarm = [&](bool leak) {
        const auto out = garden.hear("zigbee2mqtt/cellar", leak ? R"({"water_leak":true})" : R"({"water_leak":false})");
        return out.samples.at(0).alarm;
    };
    EXPECT_FALSE(alarm(false));
    EXPECT_TRUE(alarm(true));
    EXPECT_FALSE(alarm(true));
    EXPECT_FALSE(alarm(false));
    EXPECT_TRUE(alarm(true));
}

TEST(Sources, CountersGoOnOverNewSettings) {
    Garden garden;
    garden.read("b/sensor/t/state", "1");
    garden.read("b/sensor/t/state", "nan");
    garden.hear("what/is/this", "?");
    garden.hear("b/sensor/t/state", "2", true);
    SourcesOptions options;
    options.tasmota = false;
    garden.sources.set_options(options);
    garden.hear("c/sensor/t/state", "nan");
    const SourceCounts& counts = garden.sources.counts();
    EXPECT_EQ(counts.messages, 5U);
    EXPECT_EQ(counts.retained, 1U);
    EXPECT_EQ(counts.readings, 1U);
    EXPECT_EQ(counts.unknown, 1U);
    EXPECT_EQ(counts.not_a_value, 2U);
    EXPECT_EQ(counts.series, 1U) << "what is known stays";
}

TEST(Sources, AQuantityKeepsItsUnitOverOtherSettingsAndRestarts) {  // R8
    const Published celsius{"tele/b/SENSOR", R"({"X":{"Temperature":20},"TempUnit":"C"})"};
    const Published fahrenheit{"tele/b/SENSOR", R"({"X":{"Temperature":68},"TempUnit":"F"})"};
    Garden before;
    before.hear(celsius);
    SourcesOptions options;
    options.senml = false;
    before.sources.set_options(options);
    EXPECT_EQ(readings_of(before.hear(fahrenheit)), Lines{"b/x_temperature=20 Cel"});
    Garden after;
    after.sources.restore({{1, "b", {{"x_temperature", "Cel"}}}, {2, "b", {{"x_temperature", "[degF]"}, {"other", "lx"}}}});
    EXPECT_EQ(after.sources.counts().series, 0U) << "earlier runs take no room in the budgets";
    EXPECT_EQ(readings_of(after.hear(fahrenheit)), Lines{"b/x_temperature=20 Cel"});
    EXPECT_EQ(readings_of(after.hear(celsius)), Lines{"b/x_temperature=20 Cel"});
    EXPECT_EQ(after.sources.counts().series, 1U);
}

TEST(Sources, AUnitOfAnotherKindIsBegunOnceAlsoOverRestarts) {  // R8
    Garden garden;
    garden.sources.restore({{1, "d", {{"x", "V"}}}, {2, "d", {{"x", "lx"}}}, {3, "d", {{"y", "V"}}}});
    EXPECT_EQ(garden.read("d/senml", R"([{"n":"x","u":"lx","v":1}])"), Lines{"d/x=1 lx"});
    EXPECT_EQ(garden.read("d/senml", R"([{"n":"y","u":"lx","v":1}])"), Lines{"d/y=1 lx"});
    EXPECT_EQ(garden.sources.counts().series, 2U);
}

TEST(Sources, SubscriptionsAreTheFiltersAndWhatDiscoveryAddedToThem) {
    Garden garden;
    EXPECT_EQ(garden.sources.subscriptions(), garden.sources.filters());
    garden.hear("homeassistant/sensor/bed9/t/config", R"({"stat_t":"my/own/topic","uniq_id":"x","dev":{"ids":"bed9"}})", true);
    Lines all = garden.sources.filters();
    all.emplace_back("my/own/topic");
    EXPECT_EQ(garden.sources.subscriptions(), all);
}

const Published own_topic{"homeassistant/sensor/bed9/soil/config", R"({"stat_t":"zigbee2mqtt/own","uniq_id":"x","dev":{"ids":"bed9"}})"};

TEST(Sources, OtherSettingsForgetNothingThatIsStillRead) {
    SourcesOptions options;
    options.zigbee2mqtt = false;
    Garden garden(options);
    garden.hear(own_topic);  // not retained: it will not come again
    garden.hear("homie/5/d/$description", R"({"nodes":{"n":{"properties":{"p":{"datatype":"float","unit":"C"}}}}})", true);
    options.senml = false;
    garden.sources.set_options(options);
    EXPECT_EQ(garden.sources.subscriptions().back(), "zigbee2mqtt/own");
    EXPECT_EQ(garden.read("zigbee2mqtt/own", "5"), Lines{"bed9/soil=5"});
    EXPECT_EQ(garden.read("homie/5/d/n/p", "5"), Lines{"d/n_p=5 Cel"});
}

TEST(Sources, ADiscoveredTopicIsSubscribedWhereNoFilterHearsIt) {
    Garden garden;
    const auto discovered = [&] { return garden.sources.subscriptions().size() - garden.sources.filters().size(); };
    garden.hear(own_topic);
    EXPECT_EQ(discovered(), 0U) << "zigbee2mqtt/# hears it";
    SourcesOptions options;
    options.zigbee2mqtt = false;
    garden.sources.set_options(options);
    EXPECT_EQ(discovered(), 1U);
    EXPECT_EQ(garden.sources.counts().discovered, 1U);
    EXPECT_EQ(garden.read("zigbee2mqtt/own", "5"), Lines{"bed9/soil=5"});
    garden.sources.set_options({});
    EXPECT_EQ(discovered(), 0U) << "heard twice, it would be read twice";
    EXPECT_EQ(garden.read("zigbee2mqtt/own", "6"), Lines{"bed9/soil=6"});
    options.home_assistant = false;
    garden.sources.set_options(options);
    EXPECT_EQ(garden.sources.subscriptions(), garden.sources.filters());
    EXPECT_EQ(garden.sources.counts().discovered, 0U);
}

TEST(Sources, ADialectThatIsTurnedOnKnowsDescribedDevicesByTheirName) {  // R9
    SourcesOptions options;
    options.esphome = false;
    Garden garden(options);
    garden.hear("homeassistant/sensor/bed2/soil/config", R"({"stat_t":"bed2/sensor/soil/state","dev":{"ids":["a4cf12"]}})");
    garden.sources.set_options({});
    EXPECT_EQ(garden.read("bed2/sensor/hidden/state", "5"), Lines{"a4cf12/hidden=5"});
}

TEST(Sources, ABudgetThatIsRaisedLetsInWhatWasRefused) {  // R5
    SourcesOptions options;
    options.series_per_device_max = 1;
    Garden garden(options);
    const Published two{"homeassistant/device/d/config",
                        R"({"dev":{"ids":["d"]},"cmps":{"air":{"p":"sensor","stat_t":"g/a"},"soil":{"p":"sensor","stat_t":"g/b"}}})", true};
    garden.hear(two);
    EXPECT_EQ(garden.subscribed.size(), 1U);
    garden.sources.set_options({});
    garden.hear(two);  // as the broker replays it
    EXPECT_EQ(garden.read("g/b", "5"), Lines{"d/soil=5"});
}

TEST(Sources, FiltersDoNotContainEachOther) {
    SourcesOptions options;
    options.rules = {{"zigbee2mqtt/plant", "p", "", "", "", 1, 0}, {"a/#", "p", "", "", "", 1, 0}, {"a/+/c", "p", "", "", "", 1, 0}};
    const auto filters = Sources(options).filters();
    EXPECT_EQ(std::count(filters.begin(), filters.end(), "zigbee2mqtt/plant"), 0);
    EXPECT_EQ(std::count(filters.begin(), filters.end(), "a/+/c"), 0);
    EXPECT_EQ(std::count(filters.begin(), filters.end(), "a/#"), 1);
    EXPECT_EQ(filters.at(0), "homeassistant/+/+/config");  // descriptions before what they describe
    options.home_assistant = options.zigbee2mqtt = options.tasmota = options.esphome = options.homie = options.senml = false;
    options.rules.clear();
    EXPECT_TRUE(Sources(options).filters().empty());
}

TEST(Numbers, AreStrict) {
    for (const auto& [text, value] :
         std::vector<std::pair<std::string, double>>{{"21.5", 21.5}, {" +3\n", 3}, {"-0.25", -0.25}, {"1e3", 1000}, {".5", 0.5}})
        EXPECT_EQ(parse_number(text), value) << text;
    for (const char* text : {"", " ", "1 2", "0x10", "1,5", "inf", "nan", "1e400", "5%", "+", "-", "++1", "1_000"})
        EXPECT_FALSE(parse_number(text)) << text;
}

TEST(Names, BecomeWordsThatStay) {
    const std::pair<const char*, const char*> cases[] = {{"DewPoint", "dew_point"},
                                                         {"PM2.5", "pm2_5"},
                                                         {"eCO2", "eco2"},
                                                         {"DS18B20-1", "ds18b20_1"},
                                                         {"Soil Temperature ", "soil_temperature"},
                                                         {"Füchtigkeit", "füchtigkeit"},
                                                         {"BME280", "bme280"},
                                                         {"--", ""},
                                                         {"UvIndex", "uv_index"},
                                                         {"carbon_dioxide", "carbon_dioxide"}};
    for (const auto& [text, wanted] : cases) EXPECT_EQ(slug(text), wanted);
    EXPECT_LE(slug(std::string(500, 'x')).size(), 64U);
    EXPECT_FALSE(is_readable("0x00158d0001"));
    EXPECT_FALSE(is_readable("a4cf12ab"));
    EXPECT_TRUE(is_readable("temp"));
}

TEST(Units, HaveOneSpellingEach) {
    const std::pair<const char*, const char*> cases[] = {
        {"°C", "Cel"}, {"C", "Cel"},       {"℃", "Cel"},       {"°F", "[degF]"},       {"%", "%"},     {"%RH", "%"},       {"kWh", "kW.h"},
        {"Wh", "W.h"}, {"µS/cm", "uS/cm"}, {"μS/cm", "uS/cm"}, {"l/min", "L/min"},     {"m³", "m3"},   {"µg/m³", "ug/m3"}, {"ppm", "[ppm]"},
        {"lx", "lx"},  {"dBm", "dBm"},     {" ", ""},          {"widgets", "widgets"}, {"Cel", "Cel"}, {"a/b#c", "a/b#c"}};
    for (const auto& [text, wanted] : cases) EXPECT_EQ(normal_unit(text), wanted) << text;
    for (const char* text : {"°C", "kWh", "mmHg", "L/min", "µmol/m²/s"}) EXPECT_EQ(normal_unit(normal_unit(text)), normal_unit(text));
    EXPECT_EQ(convert(32, "[degF]", "Cel"), 0);
    EXPECT_EQ(convert(100, "Cel", "[degF]"), 212);
    EXPECT_EQ(convert(1013.2, "mbar", "hPa"), 1013.2);
    EXPECT_EQ(convert(2900, "mV", "V"), 2.9);
    EXPECT_FALSE(convert(1, "V", "lx"));
    EXPECT_FALSE(convert(1, "", "lx"));
}

TEST(Units, UnknownOnesPassAsTheyAreWithinTheWiresRule) {  // units.h R1
    for (const char* unit : {"m/s2", "mmol/L", "a/b#c", "+1", "тек/ч"}) EXPECT_EQ(normal_unit(unit), unit);
    EXPECT_EQ(normal_unit("a\nb\x7f\xff"), "a_b__");
    EXPECT_EQ(normal_unit(std::string(100, 'u')), std::string(64, 'u'));
    EXPECT_EQ(normal_unit(std::string(63, 'u') + "µg"), std::string(63, 'u'));
    Garden garden;
    EXPECT_EQ(garden.read("d/senml", R"([{"n":"a","u":"m/s2","v":1}])"), Lines{"d/a=1 m/s2"});
}

TEST(TopicFilter, MatchesAndContains) {
    EXPECT_TRUE(filter_matches("a/+/c", "a/b/c"));
    EXPECT_TRUE(filter_matches("a/#", "a"));
    EXPECT_TRUE(filter_matches("a/#", "a/b/c"));
    EXPECT_TRUE(filter_matches("+/+", "a/"));
    EXPECT_FALSE(filter_matches("a/+", "a/b/c"));
    EXPECT_FALSE(filter_matches("#", "$SYS/x"));
    EXPECT_FALSE(filter_matches("a/b", "a"));
    std::vector<std::string> captures;
    EXPECT_TRUE(filter_matches("a/+/x/#", "a/b/x/c/d", &captures));
    EXPECT_EQ(captures, (Lines{"b", "c/d"}));
    EXPECT_TRUE(filter_contains("a/#", "a/+/c"));
    EXPECT_TRUE(filter_contains("a/+", "a/b"));
    EXPECT_FALSE(filter_contains("a/+", "a/#"));
    EXPECT_FALSE(filter_contains("a/b", "a/+"));
    EXPECT_TRUE(is_filter("+/a/#"));
    for (const char* bad : {"", "a/#/b", "a+", "a/b#"}) EXPECT_FALSE(is_filter(bad)) << bad;
}

// Any bytes, and real messages with bytes changed: nothing is thrown, what comes out is well-formed and within the budgets.
TEST(Sources, AnyBytesAreSurvivedWithinTheBudgets) {
    const std::vector<Published> real = {
        {"homeassistant/device/soil42/config",
         R"({"dev":{"ids":["soil42"]},"~":"soil/42","state_topic":"~/state","cmps":{"t":{"p":"sensor","unit_of_meas":"C","val_tpl":"{{ value_json.t }}"},"v":{"p":"valve"}}})"},
        {"homeassistant/sensor/n/o/config",
         R"({"stat_t":"soil/43","dev":{"ids":["x"]},"avty_t":"soil/44","val_tpl":"{{ value_json['a'][0] | float }}"})"},
        {"soil/42/state", R"({"t":5,"state":"open","position":3})"},
        {"soil/43", R"({"a":[1]})"},
        {"soil/44", "online"},
        {"tele/a/SENSOR",
         R"({"BME280":{"Temperature":21.7},"ZbReceived":{"0x1":{"Device":"0x1","Power":1,"LinkQuality":9}},"TempUnit":"C"})"},
        {"tele/a/STATE", R"({"POWER1":"ON","Wifi":{"Signal":-4}})"},
        {"stat/a/RESULT", R"({"POWER":"ON"})"},
        {"tasmota/discovery/A/config", R"({"t":"a","fn":["b"]})"},
        {"zigbee2mqtt/bridge/devices",
         R"([{"friendly_name":"a/b","ieee_address":"0x12345","definition":{"exposes":[{"property":"t","unit":"C","features":[{"property":"s"}]}]}}])"},
        {"zigbee2mqtt/a/b", R"({"t":1,"battery":"7","color":{"x":1},"update":{"installed_version":3}})"},
        {"zigbee2mqtt/bridge/groups", R"([{"friendly_name":"g"}])"},
        {"homie/5/d/$description", R"({"root":"d","nodes":{"n":{"properties":{"p":{"datatype":"float","unit":"C"}}}}})"},
        {"homie/5/d/n/p", "5"},
        {"homie/5/d/$state", "ready"},
        {"e/sensor/t/state", "5.5"},
        {"e/valve/t/position/state", "5.5"},
        {"e/status", "online"},
        {"x/senml", R"([{"bn":"d:","bt":-5,"bu":"Cel","n":"t","v":1e300,"t":-1e300}])"},
        {"w/x/y", R"({"d":{"a":[1,"2",true]}})"}};
    SourcesOptions options;
    options.devices_max = 20;
    options.series_per_device_max = 10;
    options.rules = {{"w/+/#", "{1}", "", "d", "", 2, 1}, {"w/+/#", "{2}", "q", "d.a.1", "°C", 1, 0}};
    for (uint32_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
        Garden garden(options);
        for (int step = 0; step < 500; ++step) {
            Published message = real[below(real.size())];
            for (size_t change = below(6); change > 0; --change) {
                std::string& where = below(4) == 0 ? message.topic : message.payload;
                if (where.empty()) continue;
                const size_t at = below(where.size());
                switch (below(4)) {
                    case 0: where[at] = static_cast<char>(random()); break;
                    case 1: where.erase(at, 1 + below(8)); break;
                    case 2: where.insert(at, where.substr(below(where.size()), below(30))); break;
                    default: where[at] = "{}[]\",:/0.-+~$"[below(14)]; break;
                }
            }
            const auto out = garden.hear(message.topic, message.payload, below(5) == 0);
            for (const Sample& sample : out.samples) {
                ASSERT_TRUE(is_label(sample.device));
                ASSERT_GE(sample.time.ms, 0);
                ASSERT_LE(sample.time, garden.now);
                ASSERT_FALSE(sample.measurements.empty());
                std::set<std::string> once;
                for (const Measurement& m : sample.measurements) {
                    ASSERT_TRUE(is_label(m.quantity));
                    ASSERT_TRUE(is_unit(m.unit)) << m.unit;
                    ASSERT_TRUE(once.insert(m.quantity).second);
                    const auto* number = std::get_if<double>(&m.value);
                    ASSERT_TRUE(number == nullptr || std::isfinite(*number));
                    const auto* text = std::get_if<std::string>(&m.value);
                    ASSERT_TRUE(text == nullptr || is_text_state(*text));
                }
            }
            for (const DeviceNote& note : out.notes) ASSERT_TRUE(is_label(note.device));
        }
        EXPECT_LE(garden.sources.counts().devices, 20U);
        EXPECT_LE(garden.sources.counts().series, 200U);
        EXPECT_LE(garden.events.size(), 200U);
        EXPECT_EQ(garden.sources.counts().messages, 500U);
    }
}

TEST(Settings, AreDeclaredWithTheirRules) {
    Schema schema;
    SourcesOptions options;
    declare(schema, options);
    const auto good = schema.load_text(
        "[sources]\ntasmota = false\n[[sources.rule]]\ntopic = \"garden/+/soil\"\ndevice = \"{1}\"\nquantity = \"soil_moisture\"\nunit = "
        "\"%\"\n",
        "test");
    ASSERT_TRUE(good) << good.error().message();
    EXPECT_FALSE(options.tasmota);
    ASSERT_EQ(options.rules.size(), 1U);
    EXPECT_EQ(options.rules[0].device, "{1}");
    EXPECT_FALSE(schema.load_text("[sources]\ndiscovery_prefix = \"a/#\"\n", "test"));
    EXPECT_FALSE(schema.load_text("[[sources.rule]]\ntopic = \"a+b\"\ndevice = \"x\"\n", "test"));
}

}  // namespace
}  // namespace basmalin::agent
