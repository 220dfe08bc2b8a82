#include "shared/config/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "shared/base/file.h"
#include "shared/base/ids.h"

namespace basmalin {
namespace {

struct Device {
    std::string name;
    int64_t baud = 9600;
};

struct Garden {
    std::string node = "gw1";
    std::string level = "info";
    bool enabled = true;
    int64_t bytes_max = 64 << 20;
    Duration age_max = hours(24);
    double ratio = 0.5;
    int64_t count = 7;
    uint16_t port = 1883;
    Secret password;
    std::vector<std::string> topics = {"a/#", "b"};
    std::vector<Device> devices;
};

void declare(Schema& s, Garden& g) {
    s.section("", "The whole node.");
    s.text("node", g.node, "The node's name.", [](const std::string& v) { return is_name(v) ? "" : "use letters, digits, . _ -"; });
    s.choice("level", g.level, {"debug", "info", "warn"}, "How much is logged.");
    s.section("buffer", "What waits for the coordinator.");
    s.flag("enabled", g.enabled, "Whether anything is kept.");
    s.bytes("bytes_max", g.bytes_max, 1 << 20, 1LL << 40, "Size of the buffer file; the oldest readings go first.");
    s.duration("age_max", g.age_max, seconds(1), hours(24 * 365), "Older readings go.");
    s.number("ratio", g.ratio, 0, 1, "A ratio.");
    s.integer("count", g.count, -5, 100, "A count.");
    s.section("mqtt.central", "The broker in the centre.");
    s.port("port", g.port, "Its port.");
    s.secret("password", g.password, "Its password.");
    s.texts("topics", g.topics, "What to subscribe to.");
    s.table<Device>("device", g.devices, "Devices on the bus.", [](Schema& row, Device& d) {
        row.text("name", d.name, "Its name.", [](const std::string& v) { return is_label(v) ? "" : "a device needs a name"; });
        row.integer("baud", d.baud, 300, 115200, "Its speed.");
    });
}

class ConfigTest : public testing::Test {
  protected:
    ConfigTest() { declare(schema, garden); }
    std::string error(std::string_view toml, const std::vector<std::string>& overrides = {}) {
        auto loaded = schema.load_text(toml, "file.toml", overrides);
        return loaded ? "" : loaded.error().text;
    }
    std::string write(const std::string& name, std::string_view content, unsigned mode = 0600) {
        const std::string path = folder + "/" + name;
        EXPECT_TRUE(replace_file(path, content, mode));
        return path;
    }
    std::string make_folder() {
        std::string path = testing::TempDir() + "config-XXXXXX";
        EXPECT_NE(mkdtemp(path.data()), nullptr);
        return path;
    }
    const std::string folder = make_folder();
    Garden garden;
    Schema schema;
};

using Config = ConfigTest;

TEST_F(Config, EveryKindOfValueIsRead) {
    EXPECT_EQ(error("node = \"gw-2\"\nlevel='warn'\n[buffer]\nenabled=false\nbytes_max='5000 KB'\nage_max='5 min'\nratio=1\ncount=-5\n"
                    "[mqtt.central]\nport=8883\ntopics=['x']\n[[device]]\nname='pump'\n[[device]]\nname='valve'\nbaud=19200\n"),
              "");
    EXPECT_EQ(garden.node, "gw-2");
    EXPECT_EQ(garden.level, "warn");
    EXPECT_FALSE(garden.enabled);
    EXPECT_EQ(garden.bytes_max, 5'000'000);
    EXPECT_EQ(garden.age_max, minutes(5));
    EXPECT_EQ(garden.ratio, 1.0);
    EXPECT_EQ(garden.count, -5);
    EXPECT_EQ(garden.port, 8883);
    EXPECT_EQ(garden.topics, std::vector<std::string>{"x"});
    ASSERT_EQ(garden.devices.size(), 2u);
    EXPECT_EQ(garden.devices[0].name, "pump");
    EXPECT_EQ(garden.devices[0].baud, 9600);
    EXPECT_EQ(garden.devices[1].baud, 19200);
}

TEST_F(Config, SizesAndDurationsHaveUnits) {
    const std::pair<std::string, int64_t> sizes[] = {{"'64 MiB'", 64 << 20}, {"'1GiB'", 1 << 30}, {"'5000 KB'", 5'000'000}, {"2000000", 2'000'000},
                                                     {"'1.5 MiB'", 3 << 19}, {"'1 TiB'", 1LL << 40}};
    for (const auto& [text, value] : sizes) {
        EXPECT_EQ(error("buffer.bytes_max = " + text), "");
        EXPECT_EQ(garden.bytes_max, value) << text;
    }
    const std::pair<std::string, int64_t> durations[] = {{"'1500 ms'", 1500}, {"'10 s'", 10'000}, {"'5 min'", 300'000},
                                                         {"'24h'", 86'400'000}, {"'7 d'", 604'800'000}, {"90", 90'000}, {"1.5", 1500}};
    for (const auto& [text, value] : durations) {
        EXPECT_EQ(error("buffer.age_max = " + text), "");
        EXPECT_EQ(garden.age_max.ms, value) << text;
    }
}

TEST_F(Config, EveryProblemIsReportedWithLineNameAndRemedy) {  // R3
    EXPECT_EQ(error("node = 3\n[buffer]\nbytes_max = \"lots\"\nage_max = '10 m'\nratio = 1.5\ncount = 'x'\nenabled = 1\nbyte_max = 4\n"
                    "[mqtt.central]\nport = 70000\ntopics = ['a', 2]\n[[device]]\nbaud = 5\n"),
              "file.toml:1: node: 3 is no text; give a text in quotes\n"
              "file.toml:3: buffer.bytes_max: \"lots\" is no size; give bytes as \"64 MiB\" or a number from 1 MiB to 1 TiB\n"
              "file.toml:4: buffer.age_max: \"10 m\" is no duration; give a duration as \"500 ms\" \"10 s\" \"5 min\" \"24 h\" \"7 d\" or a number of "
              "seconds from 1 s to 365 d\n"
              "file.toml:5: buffer.ratio: 1.5 is out of bounds; give a number from 0.0 to 1.0\n"
              "file.toml:6: buffer.count: \"x\" is no whole number; give a whole number from -5 to 100\n"
              "file.toml:7: buffer.enabled: 1 is neither true nor false; give true or false, without quotes\n"
              "file.toml:8: buffer.byte_max: no such setting; did you mean buffer.bytes_max?\n"
              "file.toml:10: mqtt.central.port: 70000 is no port; give a port from 1 to 65535\n"
              "file.toml:11: mqtt.central.topics: 2 is no text; give texts as [\"one\", \"two\"]\n"
              "file.toml:13: device[1].baud: 5 is out of bounds; give a whole number from 300 to 115200\n"
              "file.toml: device[1].name: must be set: a device needs a name; give a text in quotes");
}

TEST_F(Config, UnknownNamesProposeTheNearest) {  // R3
    EXPECT_EQ(error("[bufer]\ncount = 1\n"), "file.toml:1: bufer: no such section; did you mean [buffer]?");
    EXPECT_EQ(error("count = 1\n"), "file.toml:1: count: no such setting; did you mean buffer.count?");
    EXPECT_EQ(error("level = 'inof'\n"), "file.toml:1: level: \"inof\" is not among the choices; did you mean \"info\"?; give one of \"debug\", \"info\", \"warn\"");
    EXPECT_EQ(error("[buffer]\nsomething_else = 1\n"),
              "file.toml:2: buffer.something_else: no such setting; known here: enabled, bytes_max, age_max, ratio, count");
    EXPECT_EQ(error("buffer = 3\n"), "file.toml:1: buffer: 3 is no section; write [buffer] and its settings below");
    EXPECT_EQ(error("[device]\nname = 'x'\n"), "file.toml:1: device: a table is no list of rows; write [[device]]");
    EXPECT_EQ(error("\"buffer.count\" = 1\n"), "file.toml:1: \"buffer.count\": no such setting; known here: node, level");
}

TEST_F(Config, NothingIsAssignedUnlessEverythingIsRight) {  // R2
    EXPECT_NE(error("node = 'other'\n[buffer]\ncount = 9\nratio = 7\n[[device]]\nname = 'x'\n"), "");
    EXPECT_EQ(garden.node, "gw1");
    EXPECT_EQ(garden.count, 7);
    EXPECT_TRUE(garden.devices.empty());
}

TEST_F(Config, ASecondLoadStartsFromTheDefaults) {  // R1
    EXPECT_EQ(error("[buffer]\ncount = 9\n[[device]]\nname = 'x'\n"), "");
    EXPECT_EQ(garden.count, 9);
    EXPECT_EQ(garden.devices.size(), 1u);
    EXPECT_EQ(error(""), "");
    EXPECT_EQ(garden.count, 7);
    EXPECT_TRUE(garden.devices.empty());
}

TEST_F(Config, OverridesWinOverTheFile) {  // R1
    EXPECT_EQ(error("[buffer]\ncount = 9\n", {"buffer.count=10", "node=12", "buffer.bytes_max=2 MiB", "buffer.age_max=\"3 s\"", "buffer.enabled=false",
                                             "mqtt.central.topics=[\"q\"]", "buffer.count=11"}),
              "");
    EXPECT_EQ(garden.count, 11);
    EXPECT_EQ(garden.node, "12");
    EXPECT_EQ(garden.bytes_max, 2 << 20);
    EXPECT_EQ(garden.age_max, seconds(3));
    EXPECT_FALSE(garden.enabled);
    EXPECT_EQ(garden.topics, std::vector<std::string>{"q"});
}

TEST_F(Config, AWrongOverrideSaysSo) {
    EXPECT_EQ(error("", {"buffer.cuont=1", "nonsense", "buffer.count=x", "buffer.count=1000", "device=1"}),
              "override: buffer.cuont: no such setting; did you mean buffer.count?\n"
              "override: \"nonsense\": write section.key=value\n"
              "override: buffer.count: \"x\" is no whole number; give a whole number from -5 to 100\n"
              "override: buffer.count: 1000 is out of bounds; give a whole number from -5 to 100\n"
              "override: device: rows can be given only in the file");
    EXPECT_NE(error("", {"buffer.count=1\nnode='x'"}), "") << "an override is one value";
    EXPECT_EQ(garden.node, "gw1");
}

TEST_F(Config, ADefaultThatItsCheckRefusesMustBeSet) {  // R4
    Garden fresh;
    fresh.node = "";
    Schema s;
    declare(s, fresh);
    auto loaded = s.load_text("", "file.toml");
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().text, "file.toml: node: must be set: use letters, digits, . _ -; give a text in quotes");
    EXPECT_TRUE(s.load_text("", "file.toml", {"node=gw9"}));
    EXPECT_EQ(fresh.node, "gw9");
}

TEST_F(Config, ASecretIsReadFromItsFile) {
    const std::string path = write("password", "hunter2\n");
    EXPECT_EQ(error("mqtt.central.password = '" + path + "'"), "");
    EXPECT_EQ(garden.password.value, "hunter2");
    EXPECT_EQ(garden.password.file, path);
    EXPECT_EQ(schema.dump().find("hunter2"), std::string::npos);  // R6
    EXPECT_NE(schema.dump().find("password = \"***\""), std::string::npos);
}

TEST_F(Config, ASecretThatAllCanReadIsRefused) {
    const std::string path = write("open", "hunter2\n", 0644);
    const std::string text = error("mqtt.central.password = '" + path + "'");
    EXPECT_NE(text.find("every user"), std::string::npos) << text;
    EXPECT_EQ(text.find("hunter2"), std::string::npos);
    EXPECT_NE(error("mqtt.central.password = '" + folder + "/missing'").find("No such file"), std::string::npos);
    EXPECT_NE(error("mqtt.central.password = '" + write("long", std::string(5000, 'x')) + "'").find("longer than 4096"), std::string::npos);
    EXPECT_NE(error("mqtt.central.password = '" + write("empty", "\n") + "'").find("is empty"), std::string::npos);
    EXPECT_NE(error("mqtt.central.password = '" + folder + "'").find("no regular file"), std::string::npos);
    EXPECT_NE(error("mqtt.central.password = 12345").find("no text was given"), std::string::npos);
}

TEST_F(Config, ACredentialOfSystemdIsFound) {
    write("broker", "s3cret");
    ::setenv("CREDENTIALS_DIRECTORY", folder.c_str(), 1);
    EXPECT_EQ(error("mqtt.central.password = 'credential:broker'"), "");
    EXPECT_EQ(garden.password.value, "s3cret");
    EXPECT_NE(error("mqtt.central.password = 'credential:../broker'").find("names no credential"), std::string::npos);
    ::unsetenv("CREDENTIALS_DIRECTORY");
    EXPECT_NE(error("mqtt.central.password = 'credential:broker'").find("LoadCredential"), std::string::npos);
}

TEST_F(Config, TheExampleLoadsAndGivesTheDefaults) {
    const std::string before = schema.dump();
    const std::string example = schema.example();
    EXPECT_EQ(error(example), "") << example;
    EXPECT_EQ(schema.dump(), before);
    std::string live;  // with every setting live
    for (size_t at = 0; at < example.size();) {
        const size_t end = example.find('\n', at);
        const std::string line = example.substr(at, end - at);
        live += (line.starts_with("#") && !line.starts_with("# ") ? line.substr(1) : line) + "\n";
        at = end + 1;
    }
    EXPECT_NE(live, example);
    EXPECT_EQ(error(live), "") << live;
    EXPECT_EQ(schema.dump(), before);
}

TEST_F(Config, TheDumpLoadsAndGivesItself) {
    EXPECT_EQ(error("node = 'gw-7'\n[buffer]\nage_max = 1.0e3\nratio=0.1\n[[device]]\nname='po\"m\\p'\n"), "");
    const std::string dump = schema.dump();
    EXPECT_EQ(error(dump), "") << dump;
    EXPECT_EQ(schema.dump(), dump);
    EXPECT_NE(dump.find("[[device]]\nname = \"po\\\"m\\\\p\"\nbaud = 9600\n"), std::string::npos) << dump;
}

TEST_F(Config, TheHelpNamesEverySettingWithinAHundredColumns) {
    const std::string help = schema.help();
    for (const char* word : {"node = \"gw1\"", "[buffer]", "bytes_max = \"64 MiB\"", "size, 1 MiB to 1 TiB", "[mqtt.central]", "[[device]]", "must be set"})
        EXPECT_NE(help.find(word), std::string::npos) << word << "\n" << help;
    for (size_t at = 0; at < help.size();) {
        const size_t end = help.find('\n', at);
        EXPECT_LE(end - at, 100u) << help.substr(at, end - at);
        at = end + 1;
    }
}

TEST_F(Config, AFileIsLoadedAndAMissingOneIsNotFound) {
    EXPECT_TRUE(schema.load(write("agent.toml", "node = 'fromfile'\n"), {"buffer.count=3"}));
    EXPECT_EQ(garden.node, "fromfile");
    EXPECT_EQ(garden.count, 3);
    auto missing = schema.load(folder + "/none.toml");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Code::NotFound);
    EXPECT_TRUE(schema.load(""));
    EXPECT_EQ(garden.node, "gw1");
}

}  // namespace
}  // namespace basmalin
